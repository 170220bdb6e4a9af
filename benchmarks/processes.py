"""Programs that are compared each in a process of its own, which sleeps while another is timed.

So no program has another's threads or memory, and the peak of its memory is its own.
"""

import resource
import sys
import time

PAUSE = 0.1  # seconds before each program, in which the threads of the program before fall asleep


def peak_memory():
    """The most memory that this process has had until now, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _serve(connection, kind, arguments):
    """The life of a program's process: builds it, then answers until the pipe closes."""
    try:
        program = kind(*arguments)
    except ImportError as error:
        connection.send((None, str(error)))
        return
    connection.send((program.on_gpu(), None))
    while True:
        try:
            verb, *values = connection.recv()
        except EOFError:
            return
        if verb == "time":
            time.sleep(PAUSE)
            start, cpu_start = time.perf_counter(), time.process_time()
            for value in values[0]:
                program.run(value)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            connection.send((seconds, peak_memory(), cpu_seconds))
        else:
            connection.send(getattr(program, verb)(*values))


class Process:
    """A program in its own process.

    Called with the name of one of the program's methods and its arguments, it gives what the method returns; called
    with "time" and a list, it gives the seconds of `program.run` for all in the list together, the peak of the process'
    memory until then in bytes, and the seconds that all its threads worked meanwhile.

    Args:
        context: Of `multiprocessing`, with the method "spawn".
        kind: The program's class; it must have `on_gpu()` and `run(value)`.
        *arguments: That it is constructed with.

    Attributes:
        on_gpu: Whether the program computes on one; None where it is missing.
        missing: Why it cannot be imported here, or None.
    """

    def __init__(self, context, kind, *arguments):
        self.name = kind.__name__
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, kind, arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.on_gpu, self.missing = self._receive()

    def __call__(self, verb, *values):
        self.connection.send((verb, *values))
        return self._receive()

    def _receive(self):
        try:
            return self.connection.recv()
        except EOFError:
            self.process.join()
            why = " (killed: too little memory?)" if self.process.exitcode == -9 else ""
            sys.exit(f"the process of {self.name} ended with status {self.process.exitcode}{why}")

    def close(self):
        self.connection.close()
        self.process.join()


def start_all(context, programs, names, *arguments):
    """The programs that are installed, by name; says which are not."""
    started = {}
    for name in names:
        program = Process(context, programs[name], *arguments)
        if program.missing is None:
            started[name] = program
        else:
            print(f"{name} is left out: {program.missing}")
            program.close()
    return started
