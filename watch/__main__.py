"""python -m watch DIR: a traced step in the terminal."""

import sys

import tyro

from watch.tracer import View, main

sys.exit(main(tyro.cli(View, description=View.__doc__)))
