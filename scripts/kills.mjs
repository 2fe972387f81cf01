// Kills `quantize`, `imatrix` and `make` of small inputs at random moments (kill -9), so many times in all, and runs
// them again until they come to their end: their outputs must always be the bytes of an undisturbed run.
//
//   node scripts/kills.mjs [KILLS] [SEED]
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [kills = "1000", seed = "1"] = process.argv.slice(2);
const file = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const model = file("fixtures/tiny-moe-q8_0.gguf");
const text = file("fixtures/text/calibration.txt");
const folder = mkdtempSync(join(tmpdir(), "lopsided-kills-"));

/** What is killed: its part of the kills, what it leaves, what continues it, and the command. */
const scenarios = [
  {
    part: 0.45,
    outputs: ["out.gguf"],
    again: "--resume",
    command: ["quantize", model, join(folder, "out.gguf"), "--base", "Q4_0", "--allow-requantize", "-t", "1"],
  },
  {
    part: 0.45,
    outputs: ["imatrix.gguf"],
    command: [
      ...["imatrix", model, text, "-o", join(folder, "imatrix.gguf")],
      ...["--ctx", "32", "--chunks", "4", "--output-frequency", "1", "-t", "1"],
    ],
  },
  {
    part: 0.05,
    within: "4",
    outputs: ["made/tiny-moe-asym-IQ2_S.gguf", "made/imatrix.gguf", "made/recipe.yaml"],
    remove: "made",
    command: [
      ...["make", model, "-o", join(folder, "made"), "--calibration", text, "--chunks", "2"],
      ...["--ctx-calibration", "32", "--no-check", "--no-explorer", "-t", "1"],
      ...["--evaluate", text, "--evaluate-chunks", "1", "--ctx-evaluate", "32"],
    ],
  },
  {
    part: 0.05,
    outputs: ["kept-nothing/tiny-moe-asym-IQ2_S.gguf", "kept-nothing/imatrix.gguf"],
    remove: "kept-nothing",
    command: [
      ...["make", model, "-o", join(folder, "kept-nothing"), "--calibration", text, "--effort", "max"],
      ...["--no-keep-activations", "--calibration-tokens", "1024", "--no-check", "--no-explorer"],
      ...["--no-evaluate", "-t", "1"],
    ],
  },
];

let failed = false;
for (const { part, within, outputs, again, remove, command } of scenarios) {
  const words = [
    ...["--outputs", outputs.map((name) => join(folder, name)).join(",")],
    ...["--kills", `${Math.round(Number(kills) * part)}`, "--seed", seed],
    ...(within === undefined ? [] : ["--within", within]),
    ...(again === undefined ? [] : [`--again=${again}`]),
    ...(remove === undefined ? [] : ["--remove", join(folder, remove)]),
  ];
  console.log(`${command[0]}:`);
  const { status } = spawnSync(process.execPath, [file("scripts/kill.mjs"), ...words, "--", ...command], {
    stdio: "inherit",
  });
  failed ||= status !== 0;
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = failed ? 1 : 0;
