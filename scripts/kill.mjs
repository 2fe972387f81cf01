// Kills a command at random moments (SIGKILL) and runs it again, over and over; whenever it comes to its end, its
// outputs must be the bytes that an undisturbed run makes.
//
//   node scripts/kill.mjs --outputs /tmp/o.gguf --kills 50 --again=--resume -- quantize MODEL /tmp/o.gguf ...
//   node scripts/kill.mjs --printed --folder /tmp/o -- perplexity MODEL TEXT --max-memory 700MB --checkpoint /tmp/o/part
//   node scripts/kill.mjs --outputs /tmp/o/imatrix.gguf,/tmp/o/recipe.yaml --remove /tmp/o -- make MODEL -o /tmp/o ...
//
// The command is one of lopsided's; --again is what continues it where the same line alone does not. With --within
// the moments lie between 0 and that many seconds after each start, otherwise within the time of the undisturbed run.
// With --printed what the command prints with --json is compared too, but for the times in it. Files in --folder and the
// system's temporary folder must in the end be those that an undisturbed run leaves. Before a new run the outputs are removed, or what --remove names; they must not exist at the beginning.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { uniform } from "../dist/testing/random.js";

const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    outputs: { type: "string" },
    kills: { type: "string", default: "50" },
    within: { type: "string" },
    remove: { type: "string" },
    seed: { type: "string", default: "1" },
    again: { type: "string" },
    printed: { type: "boolean", default: false },
    folder: { type: "string" },
  },
});
if ((values.outputs === undefined && !values.printed) || positionals.length === 0) {
  console.error("usage: node scripts/kill.mjs --outputs FILE[,FILE...] [options] -- COMMAND ARGUMENTS...");
  process.exit(2);
}
const outputs = values.outputs?.split(",") ?? [];
const json = values.printed ? ["--json"] : [];
let printed = "";
const again = values.again === undefined ? [] : [values.again];

/** Runs the command, killed with all its children after so many seconds; whether it came to its end. */
function run(extra, seconds) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...positionals, ...json, ...extra], {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    printed = "";
    child.stdout.on("data", (chunk) => {
      printed += chunk;
    });
    let complaint = "";
    child.stderr.on("data", (chunk) => {
      complaint += chunk;
    });
    const timer =
      seconds === undefined
        ? undefined
        : setTimeout(() => process.kill(-child.pid, "SIGKILL"), 1000 * seconds);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal === null && code !== 0) {
        reject(new Error(`exit code ${code}: ${complaint.trim()}`));
      } else {
        resolve(signal === null);
      }
    });
  });
}

async function sha256(path) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk);
  }
  return hash.digest("hex");
}

/** Contents of the outputs, what was printed without its times, and the files that are there. */
async function checksums() {
  const all = await Promise.all(outputs.map(sha256));
  if (values.printed) {
    const { seconds: _, tokensPerSecond: __, resumedFrom: ___, ...figures } = JSON.parse(printed);
    all.push(createHash("sha256").update(JSON.stringify(figures)).digest("hex"));
  }
  const files = [
    ...(values.folder ? readdirSync(values.folder) : []),
    ...readdirSync(tmpdir()).filter((name) => name.startsWith("lopsided-stream")),
  ];
  return [...all, `files: ${files.sort().join(", ") || "none"}`].join(" ");
}

function remove() {
  for (const path of values.remove === undefined ? outputs : [values.remove]) {
    rmSync(path, { force: true, recursive: true });
  }
}

if (outputs.some(existsSync)) {
  throw new Error(`${values.outputs} exists; the outputs are removed and made again`);
}
const started = performance.now();
await run([]);
const whole = (performance.now() - started) / 1000;
const expected = await checksums();
console.log(`undisturbed: ${whole.toFixed(1)} s, ${expected}`);
remove();

const within = values.within === undefined ? whole : Number(values.within);
const random = uniform(Number(values.seed));
let [kills, ends, fresh] = [0, 0, true];
while (kills < Number(values.kills) || !fresh) {
  const last = kills >= Number(values.kills);
  const finished = await run(fresh ? [] : again, last ? undefined : random() * within);
  fresh = finished;
  if (!finished) {
    kills++;
    continue;
  }
  ends++;
  const found = await checksums();
  if (found !== expected) {
    throw new Error(`after ${kills} kills: ${found}, not ${expected}`);
  }
  remove();
}
console.log(`${kills} kills, ${ends} runs that came to their end, always the same bytes`);
