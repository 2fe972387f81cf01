// What every bench leaves: its results with the command, the date and the machine, so that a figure keeps its origin.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { basename, dirname } from "node:path";

/** Writes `results` to a JSON file. `bench/tables.mjs --keep FILE` puts it among those that the documentation shows. */
export function writeResult(path, results) {
  const [, script, ...options] = process.argv;
  const result = {
    command: ["node", `bench/${basename(script)}`, ...options].join(" "),
    date: new Date().toISOString().slice(0, 10),
    machine: { processor: cpus()[0]?.model, node: process.version },
    results,
  };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(result, undefined, 1)}\n`);
}
