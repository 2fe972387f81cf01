// Runs `make` with its defaults on tiny models of architectures that people use most, with fewer chunks and tasks: all
// must end well, and llama.cpp must run what comes of it. Their weights are random, so the figures say nothing.
//
//   node scripts/make-architectures.mjs [NAME ...]    tiny models of these names
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Engine } from "../dist/engine/engine.js";
import { make } from "../dist/make/make.js";
import { writeTinyModel } from "../dist/testing/architectures/write.js";

const usual = ["glm4moe", "qwen35moe-mtp", "gpt-oss-odd", "qwen4exp", "deepseek4", "granitehybrid", "gemma4"];
const allTasks = fileURLToPath(new URL("../fixtures/text/tasks.jsonl", import.meta.url));
const names = process.argv.length > 2 ? process.argv.slice(2) : usual;

for (const name of names) {
  const folder = await mkdtemp(join(tmpdir(), "lopsided-make-"));
  const engine = new Engine();
  const warnings = [];
  try {
    const model = join(folder, `${name}.gguf`);
    await writeTinyModel(engine, name, model);
    const tasks = join(folder, "tasks.jsonl");
    await writeFile(tasks, (await readFile(allTasks, "utf8")).split("\n").slice(0, 2).join("\n"));
    const { quantize, evaluate, seconds } = await make({
      model,
      output: join(folder, "made"),
      chunks: 8,
      evaluateChunks: 2,
      tasks,
      threads: 1,
      onWarning: (warning) => warnings.push(warning),
    });
    if (quantize.runs !== true) {
      throw new Error(`llama.cpp does not run it: ${quantize.runProblem}`);
    }
    const { mean } = evaluate.model.evaluation.kld;
    console.log(
      `${name}: ${quantize.bpw.toFixed(2)} bits per weight, ${mean.toFixed(3)} nats, ${seconds.toFixed(0)} s`,
    );
  } catch (error) {
    console.log(`${name}: FAILED: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  }
  for (const warning of warnings) {
    console.log(`  ${warning}`);
  }
}
