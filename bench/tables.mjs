// Writes the tables of docs/benchmarks.md from the runs that are kept in bench/results/.
//
//   node bench/tables.mjs [--check] [--keep out/bench-types.json=types]
//
// --keep takes what a bench left (`result.mjs`) among the kept ones, under the name of a table; --check changes nothing
// and fails if the page is not what it would write.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { withTables } from "./tables/markers.mjs";
import { tables } from "./tables/tables.mjs";

const resultPath = (name) => fileURLToPath(new URL(`results/${name}.json`, import.meta.url));
const pagePath = fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url));

const { values: options } = parseArgs({
  options: { check: { type: "boolean", default: false }, keep: { type: "string" } },
});
if (options.keep !== undefined) {
  const [from, name] = options.keep.split("=");
  copyFileSync(from, resultPath(name));
}
const read = (name) => JSON.parse(readFileSync(resultPath(name), "utf8"));
const page = readFileSync(pagePath, "utf8");
const written = withTables(page, (name) => tables[name](read));
if (written !== page && options.check) {
  console.error("docs/benchmarks.md is not what bench/results/ says; run node bench/tables.mjs.");
  process.exit(1);
}
writeFileSync(pagePath, written);
