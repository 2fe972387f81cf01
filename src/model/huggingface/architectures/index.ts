/** The families that can be converted. */
import { MalformedInputError } from "../../../errors.js";
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bailingMoe2 } from "./bailing-moe2.js";
import { deepseek2 } from "./deepseek2.js";
import { deepseek4 } from "./deepseek4.js";
import { ernie45Moe } from "./ernie45-moe.js";
import { gemma4 } from "./gemma4.js";
import { glmDsa } from "./glm-dsa.js";
import { glm4Moe } from "./glm4-moe.js";
import { gptOss } from "./gpt-oss.js";
import { graniteMoe } from "./granite-moe.js";
import { hunyuanMoe } from "./hunyuan-moe.js";
import { kimiLinear } from "./kimi-linear.js";
import { lfm2Moe } from "./lfm2-moe.js";
import { llama4 } from "./llama4.js";
import { minimaxM2 } from "./minimax-m2.js";
import { mixtral } from "./mixtral.js";
import { olmoe } from "./olmoe.js";
import { phiMoe } from "./phimoe.js";
import { qwen2Moe } from "./qwen2-moe.js";
import { qwen3 } from "./qwen3.js";
import { qwen3Moe } from "./qwen3-moe.js";
import { qwen3Next } from "./qwen3-next.js";
import { qwen35Moe } from "./qwen35-moe.js";

export const architectures: readonly ModelFamily[] = [
  bailingMoe2,
  deepseek2,
  deepseek4,
  ernie45Moe,
  gemma4,
  glmDsa,
  glm4Moe,
  gptOss,
  graniteMoe,
  hunyuanMoe,
  kimiLinear,
  lfm2Moe,
  llama4,
  minimaxM2,
  mixtral,
  olmoe,
  phiMoe,
  qwen2Moe,
  qwen3,
  qwen3Moe,
  qwen3Next,
  qwen35Moe,
];

/** The family of a model. Throws a MalformedInputError that names the known ones, and the one that is nearest. */
export function findArchitecture(config: Fields): ModelFamily {
  const [name] = config.items("architectures");
  const found = architectures.find(({ huggingFace }) => huggingFace.some((known) => known === name));
  if (found) {
    return found;
  }
  const known = architectures.flatMap(({ huggingFace }) => huggingFace).sort();
  const nearest = typeof name === "string" ? nearestOf(name, known) : undefined;
  const hint = nearest === undefined ? "" : `; the nearest is ${nearest}`;
  throw new MalformedInputError(
    `${config.file}: the architecture ${JSON.stringify(name ?? null)} cannot be converted${hint} (known are ${known.join(", ")}); use llama.cpp's convert_hf_to_gguf.py and give its GGUF file to Lopsided.`,
    { file: config.file },
  );
}

/** The name that shares the longest beginning, if it is long enough to mean something. */
function nearestOf(name: string, known: readonly string[]): string | undefined {
  const shared = (other: string) => {
    let length = 0;
    while (length < name.length && name[length]?.toLowerCase() === other[length]?.toLowerCase()) {
      length++;
    }
    return length;
  };
  const [best] = [...known].sort((a, b) => shared(b) - shared(a));
  return best !== undefined && shared(best) >= 4 ? best : undefined;
}
