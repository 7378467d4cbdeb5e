"""What a user names as DATA, as photos: a folder, a glob, a video, or a world such as `faces:2000`."""
