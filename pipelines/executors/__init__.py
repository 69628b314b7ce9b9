"""Where stages run: `local` is processes on this machine."""
