/** What a model's metadata says of its name, license and descent: GGUF's `general.*` keys. */
import { type Metadata, metadataNumber, metadataString } from "../gguf/metadata.js";
import type { Evaluation } from "./evaluation.js";

export type Origin = Pick<
  Evaluation["source"],
  | "name"
  | "license"
  | "licenseName"
  | "licenseLink"
  | "repository"
  | "baseModels"
  | "tags"
  | "languages"
  | "contextLength"
>;

/** Reads them from the metadata of a source that was given as `model`. */
export function describeOrigin(model: string, metadata: Metadata): Origin {
  const text = (key: string) => metadataString(metadata, `general.${key}`);
  const architecture = text("architecture");
  const said = ["source.huggingface.repository", "source.repo_url", "source.url"].map(text);
  const repository = repositoryOf(model) ?? said.map(repositoryOf).find((id) => id !== undefined);
  return {
    name: text("name"),
    license: text("license"),
    licenseName: text("license.name"),
    licenseLink: text("license.link"),
    repository,
    baseModels: baseModels(metadata),
    tags: texts(metadata, "general.tags"),
    languages: texts(metadata, "general.languages"),
    contextLength: metadataNumber(metadata, `${architecture}.context_length`),
  };
}

/** More base models than any merge has: the number is the file's. */
const mostBaseModels = 64;

function baseModels(metadata: Metadata): string[] {
  const count = Math.min(metadataNumber(metadata, "general.base_model.count") ?? 0, mostBaseModels);
  const ids = Array.from({ length: count }, (_, i) =>
    ["repo_url", "url"]
      .map((key) => repositoryOf(metadataString(metadata, `general.base_model.${i}.${key}`)))
      .find((id) => id !== undefined),
  );
  return [...new Set(ids.filter((id) => id !== undefined))];
}

/** `owner/name` of an address on the Hugging Face Hub, `hf://` addresses and bare ids included; undefined for others. */
export function repositoryOf(address: string | undefined): string | undefined {
  const [, id] =
    /^(?:hf:\/\/|https?:\/\/(?:www\.)?(?:huggingface\.co|hf\.co)\/)([^/?#]+\/[^/?#@]+)/i.exec(
      address ?? "",
    ) ?? [];
  return id !== undefined && isRepository(id) ? id : undefined;
}

/** The Hub's rule for repository ids (`huggingface_hub`, `validate_repo_id`), with an owner. */
export function isRepository(id: string): boolean {
  return (
    id.length <= 96 &&
    /^[A-Za-z0-9_][\w.-]*\/[A-Za-z0-9_][\w.-]*$/.test(id) &&
    !/--|\.\.|\.git$|[-.](?:\/|$)/.test(id)
  );
}

function texts(metadata: Metadata, key: string): string[] {
  const value = metadata.get(key);
  return value?.type === "array" && value.itemType === "string" ? [...value.value] : [];
}
