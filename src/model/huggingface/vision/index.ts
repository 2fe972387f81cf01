/** The vision towers that can be converted: families like those of text models, of GGUF's architecture "clip". */
import type { Folder } from "../../../bytes/folder.js";
import type { JsonObject, JsonValue } from "../../../bytes/json.js";
import { MalformedInputError, UsageError } from "../../../errors.js";
import { mostOfFacts } from "../../architecture.js";
import type { ModelFamily } from "../architecture.js";
import { Fields } from "../fields.js";
import { firstOf } from "../text-model.js";
import { gemma3Tower } from "./gemma3.js";
import { gemma4Tower } from "./gemma4.js";
import { glm4vTower } from "./glm4v.js";
import { llama4Tower } from "./llama4.js";
import { qwen2Vl } from "./qwen2-vl.js";
import { qwen3Vl } from "./qwen3-vl.js";
import { qwen25Vl } from "./qwen25-vl.js";

const towers: readonly ModelFamily[] = [
  qwen2Vl,
  qwen25Vl,
  qwen3Vl,
  gemma3Tower,
  gemma4Tower,
  llama4Tower,
  glm4vTower,
];

/** A tower, and what config.json says of it. */
export interface VisionTower {
  readonly family: ModelFamily;
  readonly config: Fields;
  readonly blocks: number;
}

/**
 * The tower of a checkpoint. Throws a UsageError if it has none, or one of a family that is not known here, and a
 * MalformedInputError if preprocessor_config.json does not say how images are normalized.
 */
export async function visionTowerOf(folder: Folder, config: Fields): Promise<VisionTower> {
  const [name] = config.items("architectures");
  const tower = config.object("vision_config");
  if (tower === undefined) {
    throw new UsageError(
      `${config.file}: \`mmproj\`: the model has no vision tower ("vision_config"); leave the option out.`,
      { file: config.file },
    );
  }
  const family = towers.find(({ huggingFace }) => huggingFace.some((known) => known === name));
  if (family === undefined) {
    const known = towers.flatMap(({ huggingFace }) => huggingFace).join(", ");
    throw new UsageError(
      `${config.file}: \`mmproj\`: the vision tower of ${String(name)} has no table of names here (known are ${known}); use llama.cpp's convert_hf_to_gguf.py --mmproj for it.`,
      { file: config.file },
    );
  }
  const merged = await visionConfig(folder, config, tower);
  return {
    family,
    config: merged,
    blocks: merged.requireSize(firstOf(merged, ["num_hidden_layers", "depth"]), mostOfFacts.layers),
  };
}

/** The tower's part of config.json, with the text model's facts that it needs and how images are normalized. */
async function visionConfig(folder: Folder, config: Fields, tower: Fields): Promise<Fields> {
  const images = await imageProcessor(folder);
  const [mean, deviation] = ["image_mean", "image_std"].map((key) => images.get(key) ?? undefined);
  if (mean === undefined || deviation === undefined) {
    throw new MalformedInputError(
      `${folder.name}: preprocessor_config.json (or processor_config.json) with "image_mean" and "image_std" is missing; download it.`,
      { file: folder.name },
    );
  }
  const text = config.object("text_config") ?? config;
  const added: [string, JsonValue | undefined][] = [
    ["image_mean", mean],
    ["image_std", deviation],
    ["image_seq_length", images.get("image_seq_length")],
    ["text_hidden_size", text.value("hidden_size")],
    ["text_rms_norm_eps", text.value("rms_norm_eps")],
  ];
  const known = added.filter((entry): entry is [string, JsonValue] => entry[1] !== undefined);
  return tower.merged(new Map(known));
}

/** What is said of how images are prepared: newer checkpoints say it in the file of the whole processor. */
async function imageProcessor(folder: Folder): Promise<JsonObject> {
  const files = ["preprocessor_config.json", "processor_config.json"];
  const found = await Promise.all(files.map((file) => Fields.read(folder, file)));
  return new Map(
    found.flatMap((one) => [...(one?.json ?? []), ...(one?.object("image_processor")?.json ?? [])]),
  );
}
