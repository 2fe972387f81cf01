/** Evaluations for tests: a real one of the tiny model, and one of a large model's shape whose figures are invented. */
import { readFileSync } from "node:fs";
import { parseMachine } from "../memory/machines.js";
import { roleOf } from "../model/roles.js";
import { summarize } from "../model/summary.js";
import { rowBytes, type TypeName } from "../quants/types.js";
import { type Evaluation, evaluationFormat, evaluationSchema } from "../report/evaluation.js";
import { fixture } from "./command.js";
import { gaussian, uniform } from "./random.js";
import { referenceTensors } from "./reference-geometry.js";

/** What `make` found for the tiny model: see fixtures/README.md. */
export function tinyEvaluation(): Evaluation {
  return evaluationSchema.parse(JSON.parse(readFileSync(fixture("evaluation.json"), "utf8")));
}

const sha = (digit: string) => digit.repeat(64);

/** The reference case's tensors with the types of `asym-2bit-experts`; all that would be measured is made up. */
export function largeEvaluation(): Evaluation {
  const random = uniform(7);
  const normal = gaussian(11);
  const tensors = referenceTensors("BF16").map(({ name, shape, type: from }) => {
    const role = roleOf(name);
    const to = from === "F32" ? from : typeFor(role);
    const rows = shape.slice(1).reduce((product, size) => product * size, 1);
    const relativeError = to === "F32" ? 0 : errorOf(to) * (0.8 + 0.4 * random());
    return { name, role, shape, from, to, bytes: rows * rowBytes(to, shape[0] ?? 1), relativeError };
  });
  const summary = summarize(tensors.map((tensor) => ({ ...tensor, type: tensor.to })));
  const bytes = summary.tensorBytes + 6_000_000;
  const coverage = tensors
    .filter(({ role }) => role.startsWith("routed."))
    .map(({ name, shape: [columns = 1] }) => {
      const tokens = Array.from({ length: 128 }, () =>
        Math.max(0, Math.round(4096 * Math.exp(1.2 * normal()) - 60)),
      );
      return {
        tensor: name,
        experts: 128,
        columns,
        unseen: tokens.filter((count) => count === 0).length,
        fewest: Math.min(...tokens),
        most: Math.max(...tokens),
        tokens,
      };
    });
  return {
    format: evaluationFormat,
    name: "Qwen3-Coder-30B-A3B-Instruct-asym-IQ2_S",
    variant: "asym-IQ2_S",
    command: "lopsided make hf://Qwen/Qwen3-Coder-30B-A3B-Instruct -o out --calibration calibration.txt",
    tools: { lopsided: "0.1.0", llamaCpp: "0.5.0", node: "20.20.2" },
    source: {
      given: "hf://Qwen/Qwen3-Coder-30B-A3B-Instruct",
      bytes: 61_064_000_000,
      sha256: [sha("a"), sha("b")],
      parameters: summary.parameters,
      bpw: 16,
      architecture: "qwen3moe",
      contextLength: 262_144,
      name: "Qwen3 Coder 30B A3B Instruct",
      license: "apache-2.0",
      repository: "Qwen/Qwen3-Coder-30B-A3B-Instruct",
      baseModels: [],
      tags: ["text-generation", "conversational", "transformers"],
      languages: ["en"],
    },
    recipe: {
      name: "planned-16GB",
      text: "name: planned-16GB\nbase: IQ3_S\n",
      plan: {
        budget: { title: "16GB GPU, 16384 tokens", bytes: 13_400_000_000, used: summary.tensorBytes },
        predicted: 0.0721,
        bound: 0.0719,
        sensitivity: "sensitivity.json",
        errors: "measured",
      },
    },
    options: { effort: "max", moments: true, priorWeight: 8 },
    calibration: text("calibration.txt", 128),
    evaluations: [text("code", 100), text("prose", 100)],
    tasks: { name: "tasks.jsonl", sha256: sha("c"), count: 200 },
    output: { bytes, tensorBytes: summary.tensorBytes, parameters: summary.parameters, bpw: summary.bpw },
    files: [{ name: "Qwen3-Coder-30B-A3B-Instruct-asym-IQ2_S.gguf", bytes, sha256: sha("d") }],
    groups: summary.groups,
    tensors,
    coverage,
    variants: [
      variant("source", "source", 61_095_806_048, 16, 9.5512, 0, 48),
      variant("baseline", "Q4_K_M", 18_556_689_568, 4.86, 9.5998, 0.0212, 46),
      variant("quantized", "asym-IQ2_S", bytes, summary.bpw, 9.9318, 0.1313, 42),
    ],
    memory: memoryOf(summary.tensorBytes),
    checks: [
      { kind: "arithmetic", prompt: "What is 17 * 23?", answer: "17 * 23 = 391", passed: true },
      {
        kind: "code",
        prompt: "Reverse a list.",
        answer: "```python\nreturn items[::-1]\n```",
        passed: false,
      },
    ],
  };
}

/** What a stranger may write into a model's metadata. */
const hostile =
  "\"'><script>alert(1)</script><img src=x onerror=alert(1)>](https://evil.example) `|` @everyone $$x$$ **b**\n---\n# [l](http://e.vil)\u202e";

/** An evaluation in which every text that is not ours is hostile. */
export function hostileEvaluation(): Evaluation {
  const evaluation = largeEvaluation();
  const sum = { sha256: sha("0") };
  return {
    ...evaluation,
    name: hostile,
    variant: hostile,
    command: "```\n<script>alert(1)</script>\n````\n",
    source: {
      ...evaluation.source,
      given: hostile,
      name: hostile,
      architecture: hostile,
      license: hostile,
      licenseName: hostile,
      licenseLink: `javascript:${hostile}`,
      repository: hostile,
      baseModels: [hostile],
      tags: [hostile, "fine"],
      languages: [hostile],
    },
    recipe: { name: hostile, text: "```\n# not a heading\n</code></pre><script>alert(1)</script>\n" },
    calibration: { ...text(hostile, 1), ...sum },
    evaluations: [{ ...text(hostile, 1), ...sum }],
    tasks: { name: hostile, count: 1, ...sum },
    files: [{ name: hostile, bytes: 1, ...sum }],
    tensors: evaluation.tensors.map((tensor) => ({
      ...tensor,
      name: tensor.name.replace("weight", hostile),
    })),
    variants: evaluation.variants.map((variant) => ({
      ...variant,
      label: hostile,
      tasks: (variant.tasks ?? []).map((rate) => ({ ...rate, kind: hostile + rate.kind })),
    })),
    checks: [{ kind: hostile, prompt: hostile, answer: hostile, passed: true }],
  };
}

function typeFor(role: string): TypeName {
  if (role === "routed.down") {
    return "IQ3_S";
  }
  if (role.startsWith("routed")) {
    return "IQ2_S";
  }
  return role.startsWith("attention") ? "Q4_K" : "Q6_K";
}

function errorOf(type: TypeName): number {
  return { IQ2_S: 0.09, IQ3_S: 0.03, Q4_K: 0.006 }[type as string] ?? 0.0004;
}

function text(name: string, chunks: number) {
  return { name, sha256: sha("e"), chunks, context: 512, tokens: 512 * chunks, parseSpecial: false };
}

function variant(
  id: Evaluation["variants"][number]["id"],
  label: string,
  bytes: number,
  bpw: number,
  ppl: number,
  kld: number,
  passed: number,
): Evaluation["variants"][number] {
  const against = {
    pplRatio: ppl / 9.5512,
    pplRatioError: 0.004,
    kld: {
      mean: kld,
      meanError: kld / 60,
      median: kld / 6,
      p90: 3 * kld,
      p99: 10 * kld,
      p999: 24 * kld,
      max: 80 * kld,
    },
    topAgreement: 1 - kld,
    topAgreementError: 0.001,
    deltaP: { mean: -kld / 10, rms: kld / 2 },
  };
  return {
    id,
    label,
    bytes,
    bpw,
    measurement: {
      ...{ ppl, pplError: 0.043, positions: 51_000, ...(kld > 0 && against) },
      texts: ["code", "prose"].map((name, i) => ({
        ...{ name, chunks: 100, ppl: ppl - 1 + 2 * i, pplError: 0.06, positions: 25_500 },
        ...(kld > 0 && { ...against, kld: { ...against.kld, mean: kld * (0.6 + 0.8 * i) } }),
        perChunk: Array.from({ length: 100 }, (_, chunk) => ({
          ...{ positions: 255, nll: Math.log(ppl) },
          ...(kld > 0 && { kld: kld * (0.6 + 0.8 * i) + 0.001 * (chunk % 5) }),
        })),
      })),
    },
    tasks: ["arithmetic", "code", "facts", "puzzle"].map((kind, i) => ({
      kind,
      passed: passed - 2 * i,
      total: 50,
      low: Math.max(0, (passed - 2 * i) / 50 - 0.1),
      high: Math.min(1, (passed - 2 * i) / 50 + 0.06),
    })),
  };
}

function memoryOf(weightsBytes: number): Evaluation["memory"] {
  const machines = [
    "8GB GPU",
    "12GB GPU",
    "16GB GPU",
    "24GB GPU",
    "16GB Mac",
    "24GB Mac",
    "32GB Mac",
    "32GB RAM",
  ].map((name) => {
    const { bytes, marginBytes, basis } = parseMachine(name, 0);
    return { name, availableBytes: bytes - marginBytes, basis };
  });
  const bytesPerToken = { F16: 98_304, Q8_0: 52_224, Q4_0: 27_648 };
  const rows = Object.entries(bytesPerToken).flatMap(([type, perToken]) =>
    [4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144].map((context) => {
      const [kvBytes, computeBytes] = [perToken * context, 310_000_000];
      const totalBytes = weightsBytes + kvBytes + computeBytes;
      const fits = machines
        .filter(({ availableBytes }) => totalBytes <= availableBytes)
        .map(({ name }) => name);
      return {
        context,
        keyType: type,
        valueType: type,
        weightsBytes,
        kvBytes,
        computeBytes,
        totalBytes,
        fits,
      };
    }),
  );
  return { rows, machines, source: "formula" };
}
