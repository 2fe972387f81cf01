import assert from "node:assert/strict";
import { after, test } from "node:test";
import { readEnvironment } from "../testing/engine-jobs.js";
import { Engine } from "./engine.js";
import { engineEnvironment } from "./environment.js";

const secrets = [
  "HF_TOKEN",
  "HUGGING_FACE_HUB_TOKEN",
  "LLAMA_API_KEY",
  "NVIDIA_API_KEY",
  "NVIDIA_NGC_API_KEY",
  "AWS_SECRET_ACCESS_KEY",
  "GITHUB_TOKEN",
  "NPM_TOKEN",
  "npm_config__authToken",
  "HTTPS_PROXY",
  "https_proxy",
  "DATABASE_URL",
  "SSH_AUTH_SOCK",
  "GGML_SECRET",
  "CUDA_TOKEN",
  "AMD_PASSWORD",
  "NODE_OPTIONS",
  "LD_PRELOAD",
] as const;

const needed = [
  "PATH",
  "Path",
  "HOME",
  "TMPDIR",
  "SystemRoot",
  "LD_LIBRARY_PATH",
  "CUDA_VISIBLE_DEVICES",
  "NVIDIA_VISIBLE_DEVICES",
  "HIP_VISIBLE_DEVICES",
  "ROCR_VISIBLE_DEVICES",
  "HSA_OVERRIDE_GFX_VERSION",
  "GGML_VK_VISIBLE_DEVICES",
  "GGML_CUDA_ENABLE_UNIFIED_MEMORY",
  "VK_ICD_FILENAMES",
  "OMP_NUM_THREADS",
  "LC_ALL",
  "LOPSIDED_NO_SIMD",
] as const;

test("what llama.cpp and drivers read is given, what may be a secret is not", () => {
  const all = Object.fromEntries([...secrets, ...needed].map((name) => [name, `value of ${name}`]));
  const given = engineEnvironment(all);
  assert.deepEqual(Object.keys(given).sort(), [...needed, "GGML_NO_BACKTRACE"].sort());
  assert.equal(given.CUDA_VISIBLE_DEVICES, "value of CUDA_VISIBLE_DEVICES");
});

test("the engine's process has no secret in its memory", async () => {
  const before = { ...process.env };
  after(() => {
    process.env = before;
  });
  for (const name of [...secrets, "CUDA_VISIBLE_DEVICES"]) {
    process.env[name] = `planted-${name}`;
  }
  // These would change how the test's own processes start.
  delete process.env.NODE_OPTIONS;
  delete process.env.LD_PRELOAD;
  await using engine = new Engine();
  const { variables, memory } = await engine.run(readEnvironment, { path: "" });
  assert.equal(variables.CUDA_VISIBLE_DEVICES, "planted-CUDA_VISIBLE_DEVICES");
  assert.ok(!JSON.stringify(variables).replace("planted-CUDA_VISIBLE", "").includes("planted-"));
  assert.ok(!memory.replace("planted-CUDA_VISIBLE", "").includes("planted-"));
});
