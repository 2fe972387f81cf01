// Kills `make` at random moments (SIGKILL) and runs the same command again, until it comes through: model, importance
// matrix and recipe must always have the same bytes. What follows "--" are options of make; folders are temporary.
//
//   node scripts/kill-make.mjs --kills 20 -- fixtures/tiny-moe-q8_0.gguf --calibration fixtures/text/calibration.txt \
//     --parse-special --chunks 8 --evaluate fixtures/text/eval.txt --evaluate-chunks 2
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const divider = process.argv.indexOf("--");
const command = process.argv.slice(divider + 1);
const kills = Number(process.argv[process.argv.indexOf("--kills") + 1]);
if (divider < 0 || command.length < 3 || !(kills > 0)) {
  console.error("usage: node scripts/kill-make.mjs --kills N -- MODEL --calibration TEXT ...");
  process.exit(2);
}
const temporary = mkdtempSync(join(tmpdir(), "lopsided-kill-make-"));
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

/** Runs make in a folder, killing it after so many milliseconds; null if it was killed, else its JSON. */
function make(folder, killAfterMs) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, "make", ...command, "-o", folder, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    const timer = killAfterMs && setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      const last = stderr.trim().split("\n").at(-1) ?? "";
      if (signal === "SIGKILL") resolve({ killed: true, last });
      else if (status === 0) resolve({ killed: false, result: JSON.parse(stdout) });
      else reject(new Error(`exit status ${status}: ${stderr}`));
    });
  });
}

/** SHA-256 of everything whose bytes must not depend on interruptions. */
function checksums(folder) {
  const names = readdirSync(folder).filter((name) => /\.(gguf|dat|yaml)$/.test(name));
  const lines = names.sort().map((name) => {
    const sha256 = createHash("sha256")
      .update(readFileSync(join(folder, name)))
      .digest("hex");
    return `${sha256}  ${name}`;
  });
  return lines.join("\n");
}

const started = performance.now();
await make(join(temporary, "whole"));
const wallMs = performance.now() - started;
const wanted = checksums(join(temporary, "whole"));
console.log(`uninterrupted: ${(wallMs / 1000).toFixed(1)} s\n${wanted}`);

let done = 0;
let differences = 0;
for (let round = 1; done < kills; round++) {
  const folder = join(temporary, `round-${round}`);
  let here = 0;
  for (;;) {
    const afterMs = done < kills ? 200 + Math.random() * wallMs : 0;
    const { killed, last } = await make(folder, afterMs);
    if (!killed) break;
    done++;
    here++;
    console.log(`kill ${done} after ${(afterMs / 1000).toFixed(2)} s; last said: ${last}`);
  }
  const same = checksums(folder) === wanted;
  if (!same) differences++;
  console.log(`folder ${round}, ${here} kills: ${same ? "same bytes" : `DIFFERENT:\n${checksums(folder)}`}`);
  rmSync(folder, { recursive: true });
}
console.log(`${done} kills, ${differences} different folders`);
process.exitCode = differences === 0 ? 0 : 1;
