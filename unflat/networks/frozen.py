"""Networks that are used and not trained."""

from typing import TypeVar

from torch import Tensor, nn

FROZEN = "is_frozen"
"""attribute that marks them"""
AnyModule = TypeVar("AnyModule", bound=nn.Module)


def freeze(network: AnyModule, *, persistent: bool) -> AnyModule:
    """Turn all parameters into buffers: no optimiser finds them and no gradient is kept for them, but gradients go
    through. They are stored in checkpoints only if `persistent`. Returns the network."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach(), persistent=persistent)
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer, persistent=persistent)
    setattr(network, FROZEN, True)
    return network


def changing_buffers(network: nn.Module) -> list[Tensor]:
    """The buffers that training may change: all but those of frozen networks inside."""
    if getattr(network, FROZEN, False):
        return []
    own = network.buffers(recurse=False)
    return [*own, *(buffer for part in network.children() for buffer in changing_buffers(part))]
