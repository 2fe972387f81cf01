import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

// The house rules of ARCHITECTURE.md, held: every folder is on a floor, imports go down, nothing goes round in circles.

const root = fileURLToPath(new URL("../", import.meta.url));
const src = join(root, "src");

/** What reaches into everything, or is not in the package. */
const isOutside = (file: string) =>
  file.startsWith("testing/") || file.endsWith(".test.ts") || file === "index.ts";

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts") && !file.includes("/assembly/"))
  .filter((file) => !isOutside(file))
  .sort();

/** Modules of ours that a file names: imported, also for types, or run in a thread or a process. */
const importsOf = new Map(
  files.map((file) => {
    const text = readFileSync(join(src, file), "utf8");
    const named = text.matchAll(/(?:from |import |import\(|new URL\()"(\.[^"]*\.js)"/g);
    const modules = [...named].map(([, path = ""]) => normalize(join(dirname(file), path)));
    return [file, modules.map((path) => path.replaceAll("\\", "/").replace(/\.js$/, ".ts"))];
  }),
);

/** The folder at the top that a file belongs to, as the table of floors has it; a file there stands for itself. */
const placeOf = (file: string) => (file.includes("/") ? `${file.slice(0, file.indexOf("/"))}/` : file);

/** Floor by folder, from the table in ARCHITECTURE.md. */
const floors = new Map(
  [...readFileSync(join(root, "ARCHITECTURE.md"), "utf8").matchAll(/^\| (\d+) +\| ([^|]+)\|/gm)].flatMap(
    ([, floor, places = ""]) =>
      [...places.matchAll(/`([^`]+)`/g)].map(([, place = ""]) => [place, Number(floor)] as const),
  ),
);

test("every folder is on a floor that ARCHITECTURE.md names, and every floor has what it names", () => {
  const places = new Set(files.map(placeOf));
  assert.deepEqual(
    [...floors.keys()].filter((place) => !places.has(place)),
    [],
  );
  assert.deepEqual(
    [...places].filter((place) => !floors.has(place)),
    [],
  );
});

test("imports go down", () => {
  const upward = [...importsOf].flatMap(([file, modules]) =>
    modules
      .filter((module) => placeOf(module) !== placeOf(file))
      .filter((module) => (floors.get(placeOf(module)) ?? 0) >= (floors.get(placeOf(file)) ?? 0))
      // What everything shares may share among itself.
      .filter((module) => floors.get(placeOf(module)) !== 0 || floors.get(placeOf(file)) !== 0)
      .map((module) => `${file} -> ${module}`),
  );
  assert.deepEqual(upward, []);
});

test("no file imports itself by way of others", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, way: readonly string[]) => {
    const begin = way.indexOf(file);
    if (begin >= 0) {
      circles.push([...way.slice(begin), file].join(" -> "));
    } else if (!done.has(file)) {
      for (const module of importsOf.get(file) ?? []) {
        visit(module, [...way, file]);
      }
      done.add(file);
    }
  };
  for (const file of files) {
    visit(file, []);
  }
  assert.deepEqual(circles, []);
});

/** Names that are a pattern: one of each kind in many files. */
const patternNames: ReadonlySet<string> = new Set([
  "view",
  "text",
  "imatrix",
  "knownAnswers",
  "questions",
  "ask",
]);

test("an exported name means one thing", () => {
  const places = new Map<string, string[]>();
  for (const file of files) {
    const declared = readFileSync(join(src, file), "utf8").matchAll(
      /^export (?:async |abstract )?(?:function\*?|const|class|interface|type) (\w+)/gm,
    );
    for (const [, name = ""] of declared) {
      places.set(name, [...(places.get(name) ?? []), file]);
    }
  }
  const shared = [...places].filter(([name, all]) => all.length > 1 && !patternNames.has(name));
  assert.deepEqual(shared, []);
});

test("members are hidden by #, not by the keyword, except constructors", () => {
  const hidden = files.flatMap((file) =>
    [
      ...readFileSync(join(src, file), "utf8").matchAll(/^ *(?:private|protected) (?!constructor\().*$/gm),
    ].map(([line]) => `${file}: ${line.trim()}`),
  );
  assert.deepEqual(hidden, []);
});

test("constants are in camelCase, and docstrings say in prose what is thrown", () => {
  const foreign = files.flatMap((file) =>
    [
      ...readFileSync(join(src, file), "utf8").matchAll(
        /^ *(?:export )?const [A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*\b.*$|@throws.*$/gm,
      ),
    ].map(([line]) => `${file}: ${line.trim()}`),
  );
  assert.deepEqual(foreign, []);
});

test("every file begins with a sentence that says what it is", () => {
  // A family of models says it at its table.
  const telling = files.filter((file) => !file.startsWith("model/huggingface/architectures/"));
  const silent = telling.filter(
    (file) => !/^(?:#!.*\n)?\/(?:\*\*|\/ )/.test(readFileSync(join(src, file), "utf8")),
  );
  assert.deepEqual(silent, []);
});
