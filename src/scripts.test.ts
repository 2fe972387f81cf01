/** Scripts and benches are run by hand and in plain JavaScript: nothing else would notice what they import going away. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

for (const folder of ["bench", "scripts"]) {
  test(`what ${folder}/ imports of the library is there`, () => {
    const missing = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".mjs"))
      .flatMap((file) =>
        missingImports(join(root, folder, file)).map((what) => `${folder}/${file}: ${what}`),
      );
    assert.deepEqual(missing, []);
  });
}

/** The modules and names of dist/ that a script imports in vain. */
function missingImports(script: string): string[] {
  const imports = readFileSync(script, "utf8").matchAll(
    /import\s*\{([^}]*)\}\s*from\s*"(\.[^"]*\/dist\/[^"]+)"/g,
  );
  return Array.from(imports).flatMap(([, names = "", module = ""]) => {
    const path = resolve(dirname(script), module);
    if (!existsSync(path)) {
      return [module];
    }
    const exported = exportedNames(readFileSync(path, "utf8"));
    return names
      .split(",")
      .map((name) => name.trim().split(" as ")[0] ?? "")
      .filter((name) => name !== "" && !exported.has(name))
      .map((name) => `${name} of ${module}`);
  });
}

function exportedNames(compiled: string): Set<string> {
  const declared = compiled.matchAll(/^export (?:async )?(?:function\*?|const|class|let) (\w+)/gm);
  const lists = compiled.matchAll(/^export \{([^}]*)\}/gm);
  return new Set([
    ...Array.from(declared, ([, name = ""]) => name),
    ...Array.from(lists).flatMap(([, names = ""]) =>
      names.split(",").map((name) => name.trim().split(" as ").at(-1) ?? ""),
    ),
  ]);
}
