// Kills a run at random moments (SIGKILL) and resumes it: the output must always be the same. Prints one line for
// each kill. What follows "--" is a command that writes a model; its output must not exist.
//
//   node scripts/kill-and-resume.mjs --kills 50 -- quantize fixtures/tiny-moe-q8_0.gguf /tmp/out.gguf \
//     --recipe asym-2bit-experts --imatrix fixtures/reference/imatrix.gguf --allow-requantize
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const divider = process.argv.indexOf("--");
const command = process.argv.slice(divider + 1);
const kills = Number(process.argv[process.argv.indexOf("--kills") + 1]);
if (divider < 0 || command.length < 3 || !(kills > 0)) {
  console.error("usage: node scripts/kill-and-resume.mjs --kills N -- quantize MODEL OUTPUT ...");
  process.exit(2);
}

/** Runs the command, killing it after so many milliseconds; null if it was killed, else its JSON. */
function run(extra, killAfterMs) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...command, "--json", ...extra], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let stdout = "";
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    const timer = killAfterMs && setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL") resolve(null);
      else if (status === 0) resolve(JSON.parse(stdout));
      else reject(new Error(`exit status ${status}: ${stdout}`));
    });
  });
}

const checksums = ({ files }) => files.map(({ sha256 }) => sha256).join(" ");
const remove = ({ files }) => {
  for (const { path } of files) rmSync(path);
};

const started = performance.now();
const whole = await run([]);
const wallMs = performance.now() - started;
remove(whole);
console.log(`uninterrupted: ${(wallMs / 1000).toFixed(1)} s, ${checksums(whole)}`);

let differences = 0;
for (let kill = 1; kill <= kills; ) {
  const afterMs = Math.random() * wallMs;
  const early = await run([], afterMs);
  if (early) {
    remove(early); // it was faster this time
    continue;
  }
  const resumed = await run(["--resume"]);
  const same = checksums(resumed) === checksums(whole);
  if (!same) differences++;
  const encoded = Math.round(resumed.weightsPerSecond * resumed.seconds);
  const kept = whole.parameters - encoded;
  console.log(
    `kill ${kill} after ${(afterMs / 1000).toFixed(2)} s: ${((100 * kept) / whole.parameters).toFixed(0)} % was kept, ${same ? "same bytes" : `DIFFERENT: ${checksums(resumed)}`}`,
  );
  remove(resumed);
  kill++;
}
console.log(`${kills} kills, ${differences} different outputs`);
process.exit(differences === 0 ? 0 : 1);
