"""The formats that trials come in: files, folders, studies and objects of other tools, each read as one frame."""
