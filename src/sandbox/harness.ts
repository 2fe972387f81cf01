/**
 * Python that runs a program and calls its functions. It only reports what they returned: whether that is right
 * is decided outside, so a program that tampers with this can spoil its own result and nothing else.
 *
 * Results are JSON; tuples become lists, and sets sorted lists.
 */
export const harness = `
def _run():
    import json

    def plain(value):
        if isinstance(value, (set, frozenset)):
            return sorted(value)
        raise TypeError(f"a {type(value).__name__} is not a result that can be compared")

    def failure(error):
        return {"error": f"{type(error).__name__}: {error}"[:300]}

    def write(result):
        with open("/tmp/result.json", "w") as file:
            file.write(result)

    def encode(value):
        return json.dumps(value, default=plain, allow_nan=False)

    with open("/tmp/program.py") as file:
        code = file.read()
    with open("/tmp/calls.json") as file:
        calls = file.read()
    module = {"__name__": "program", "__builtins__": __builtins__}
    try:
        exec(compile(code, "program.py", "exec"), module)
    except BaseException as error:
        write(encode({"failed": failure(error), "returned": []}))
        return
    returned = []
    def find(name, or_last):
        if or_last and name not in module:
            defined = [
                value
                for value in module.values()
                if type(value) is type(find) and value.__module__ == "program"
            ]
            return defined[-1] if defined else None
        return module.get(name)

    for name, arguments, or_last in json.loads(calls):
        try:
            function = find(name, or_last)
            if not callable(function):
                raise NameError(f"there is no function {name}")
            returned.append(encode({"value": function(*arguments)}))
        except BaseException as error:
            returned.append(encode(failure(error)))
        write('{"failed": null, "returned": [' + ",".join(returned) + "]}")
    if not returned:
        write('{"failed": null, "returned": []}')

_run()
del _run
`;

/**
 * Takes away Python's modules for JavaScript, and every reference to an object of JavaScript that some other
 * module keeps.
 */
export const removeBridges = `
def _remove():
    import gc, sys
    from _pyodide._importhook import JsFinder, JsLoader
    from pyodide.ffi import JsProxy

    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, JsFinder)]
    for name in list(sys.modules):
        if name.split(".")[0] in ("js", "pyodide_js"):
            del sys.modules[name]
    for holder in gc.get_objects():
        if isinstance(holder, JsLoader):
            holder.__dict__.clear()
        if type(holder) is dict:
            for key in [key for key, value in holder.items() if isinstance(value, JsProxy)]:
                holder[key] = None

_remove()
del _remove
`;
