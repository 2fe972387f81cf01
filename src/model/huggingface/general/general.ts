/**
 * The `general.*` keys: who made the model, under which license, from what. They come from README.md's front
 * matter, generation_config.json, config.json's `_name_or_path` and the folder's name, in the order and with the
 * precedence of llama.cpp `gguf-py/gguf/metadata.py`.
 */
import { basename } from "node:path";
import type { Folder } from "../../../bytes/folder.js";
import type { Metadata } from "../../../gguf/metadata.js";
import { MetadataBuilder } from "../builder.js";
import { Fields } from "../fields.js";
import { readModelCard } from "./model-card.js";
import { type ModelId, parseModelId, titleOf } from "./model-id.js";

/** GGUF key under `general.` -> names that it may have in a model card, the first found counts. */
const cardNames = {
  name: ["name", "model_name"],
  author: ["author", "model_author", "model_creator"],
  version: ["version", "model_version"],
  organization: ["organization", "model_organization"],
  finetune: ["finetune", "model_finetune"],
  basename: ["basename", "model_basename", "model_type"],
  description: ["description", "model_description"],
  size_label: ["size_label", "model_size_label"],
  license: ["license"],
  "license.name": ["license_name"],
  "license.link": ["license_link"],
  "source.url": ["url", "model_url"],
  "source.doi": ["doi", "model_doi"],
  "source.uuid": ["uuid", "model_uuid"],
  "source.repo_url": ["repo_url", "model_repo_url"],
} as const;

type GeneralKey = keyof typeof cardNames;

/** What is known of the model beside its files. */
export interface GeneralFacts {
  /** `general.architecture`. */
  readonly architecture: string;
  /** Number of weights. */
  readonly parameters: number;
  /** `general.type`; "model" by default. */
  readonly type?: string;
  /** Size label if the name tells none. */
  readonly sizeLabel: string;
}

/** All `general.*` keys but file type and quantization version. */
export async function generalMetadata(
  folder: Folder,
  config: Fields,
  facts: GeneralFacts,
): Promise<Metadata> {
  const card = await readModelCard(folder);
  const builder = new MetadataBuilder()
    .string("general.architecture", facts.architecture)
    .string("general.type", facts.type ?? "model")
    .add(samplingMetadata(await Fields.read(folder, "generation_config.json")));
  const texts = new Map<GeneralKey, string | undefined>();
  for (const key of Object.keys(cardNames) as GeneralKey[]) {
    texts.set(key, cardText(card, cardNames[key]));
  }
  const folderName = basename(folder.name);
  for (const id of [nameInConfig(config), folderName]) {
    fillFrom(texts, parseModelId(id, facts.parameters));
  }
  texts.set("name", texts.get("name") ?? folderName);
  texts.set("size_label", texts.get("size_label") ?? facts.sizeLabel);
  for (const [key, text] of texts) {
    builder.string(`general.${key}`, text);
  }
  addOrigins(builder, "base_model", first(card, ["base_model", "base_models", "base_model_sources"]), facts);
  addOrigins(builder, "dataset", first(card, ["datasets", "dataset", "dataset_sources"]), facts);
  return builder
    .strings("general.tags", [...list(card.get("tags")), ...list(card.get("pipeline_tag"))])
    .strings("general.languages", [...list(card.get("languages")), ...list(card.get("language"))]).entries;
}

/** Recommended sampling, from generation_config.json. */
function samplingMetadata(config: Fields | undefined): Metadata {
  const builder = new MetadataBuilder();
  if (!config) {
    return builder.entries;
  }
  const key = (name: string) => `general.sampling.${name}`;
  return builder
    .string(key("sequence"), config.string("sequence"))
    .int32(key("top_k"), config.integer("top_k"))
    .float32(key("top_p"), config.number("top_p"))
    .float32(key("min_p"), config.number("min_p"))
    .float32(key("xtc_probability"), config.number("xtc_probability"))
    .float32(key("xtc_threshold"), config.number("xtc_threshold"))
    .float32(key("temp"), config.number("temperature"))
    .int32(key("penalty_last_n"), config.integer("penalty_last_n"))
    .float32(key("penalty_repeat"), config.number("penalty_repeat") ?? config.number("repetition_penalty"))
    .int32(key("mirostat"), config.integer("mirostat"))
    .float32(key("mirostat_tau"), config.number("mirostat_tau"))
    .float32(key("mirostat_eta"), config.number("mirostat_eta")).entries;
}

/** `_name_or_path`, unless it is a path on the maker's machine. */
function nameInConfig(config: Fields): string {
  const name = config.string("_name_or_path") ?? "";
  return name.split("/").length <= 2 ? name : "";
}

/** Fills what is not yet known from a model's name. */
function fillFrom(texts: Map<GeneralKey, string | undefined>, id: ModelId): void {
  const found: Partial<Record<GeneralKey, string | undefined>> = {
    name: id.name && titleOf(id.name),
    organization: id.organization && titleOf(id.organization),
    basename: id.basename,
    finetune: id.finetune,
    version: id.version,
    size_label: id.sizeLabel,
  };
  for (const key of Object.keys(found) as GeneralKey[]) {
    texts.set(key, texts.get(key) ?? found[key]);
  }
}

/** Keys of an origin (base model or data set), in file order. */
const originKeys = [
  "name",
  "author",
  "version",
  "organization",
  "description",
  "url",
  "doi",
  "uuid",
  "repo_url",
] as const;

/** Writes the models or data sets that this one was made from: ids, addresses, or maps with the GGUF keys. */
function addOrigins(builder: MetadataBuilder, kind: string, value: unknown, facts: GeneralFacts): void {
  if (value === undefined) {
    return;
  }
  const origins = (Array.isArray(value) ? value : [value]).filter(
    (origin) => typeof origin === "string" || origin instanceof Map,
  );
  builder.uint32(`general.${kind}.count`, origins.length);
  origins.forEach((origin: string | ReadonlyMap<unknown, unknown>, index) => {
    const entries = typeof origin === "string" ? originOf(origin, facts.parameters) : origin;
    for (const key of originKeys) {
      builder.string(`general.${kind}.${index}.${key}`, scalar(entries.get(key)));
    }
  });
}

function originOf(id: string, parameters: number): ReadonlyMap<string, string | undefined> {
  const isAddress = /^(https?|ssh):\/\//.test(id);
  const onHub = /^https?:\/\/huggingface\.co\/([^/]+\/[^/]+)$/.exec(id)?.[1];
  const { name, organization, version } = parseModelId(isAddress ? (onHub ?? "") : id, parameters);
  const hubAddress = name && organization && `https://huggingface.co/${organization}/${name}`;
  return new Map([
    ["name", name && titleOf(name)],
    ["version", version],
    ["organization", organization && titleOf(organization)],
    ["repo_url", isAddress ? id : hubAddress],
  ]);
}

function cardText(card: ReadonlyMap<unknown, unknown>, names: readonly string[]): string | undefined {
  const value = first(card, names);
  return Array.isArray(value) ? list(value).join(",") : scalar(value);
}

/** The value of the first of `names` that the card has; nothing and `null` do not count. */
function first(card: ReadonlyMap<unknown, unknown>, names: readonly string[]): unknown {
  return names.map((name) => card.get(name)).find((value) => value instanceof Object || scalar(value));
}

function list(value: unknown): readonly string[] {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  return items.map(scalar).filter((item) => item !== undefined);
}

function scalar(value: unknown): string | undefined {
  return typeof value === "string" && !["", "~", "null"].includes(value) ? value : undefined;
}
