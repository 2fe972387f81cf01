/**
 * Python that runs a program and calls its functions. It reads both from the standard input and writes a line of
 * JSON for every call to the standard error stream, which the program's own messages do not get: for them it is the
 * standard output. It only reports what was returned: whether that is right is decided outside, so a program that
 * tampers with this can spoil its own result and nothing else.
 *
 * Results are JSON; tuples become lists, and sets sorted lists.
 */
export const pythonHarness = `
def _run():
    import json, os, sys

    write = os.write
    sys.stderr = sys.__stderr__ = sys.stdout

    def plain(value):
        if isinstance(value, (set, frozenset)):
            return sorted(value)
        raise TypeError(f"a {type(value).__name__} is not a result that can be compared")

    def failure(error):
        return f"{type(error).__name__}: {error}"[:300]

    def encode(value):
        return json.dumps(value, default=plain, allow_nan=False)

    def report(line):
        rest = line.encode() + b"\\n"
        while rest:
            rest = rest[write(2, rest):]

    def find(name, or_last):
        if or_last and name not in module:
            defined = [
                value
                for value in module.values()
                if type(value) is type(find) and value.__module__ == "program"
            ]
            return defined[-1] if defined else None
        return module.get(name)

    code, calls = json.loads(sys.stdin.read())
    module = {"__name__": "program", "__builtins__": __builtins__}
    try:
        exec(compile(code, "program.py", "exec"), module)
    except BaseException as error:
        report(encode({"failed": failure(error)}))
        return
    for name, arguments, or_last in json.loads(calls):
        try:
            function = find(name, or_last)
            if not callable(function):
                raise NameError(f"there is no function {name}")
            line = encode({"value": function(*arguments)})
        except BaseException as error:
            line = encode({"error": failure(error)})
        report(line)

_run()
del _run
`;
