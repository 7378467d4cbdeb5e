"""From a folder of photos to meshes: python examples/01_photos_to_3d.py PHOTOS OUT [EXPERIMENT]

EXPERIMENT is small (the default, a quarter of an hour), faces (the paper's, for a GPU) or tiny (seconds, learns
nothing).
"""

import sys

import unflat

folder, out, experiment = (*sys.argv[1:], "small")[:3]
photos = unflat.read_photos(folder, size=64)
run = unflat.train("unsup3d", photos, experiment=experiment, out=f"{out}/run")
shown = photos[:20]
prediction = unflat.predict(run, shown)
unflat.write_outputs(prediction, shown, out)
