"""python -m scale: training through TRL on accelerate."""

import sys

from scale.command import main
from scale.options import Options
from watch.command_line import command

if __name__ == "__main__":
    sys.exit(command("scale", main, Options))
