/** The metadata of a model with some of it changed, in its order. */
import { UsageError } from "../errors.js";
import type { Metadata } from "../gguf/metadata.js";

export interface MetadataChanges {
  /** KEY=NAME, in place. */
  readonly renameKv?: readonly string[] | undefined;
  readonly dropKv?: readonly string[] | undefined;
  /** Set last; those that are new come at the end. */
  readonly overrides: Metadata;
}

/** Throws a UsageError for a key that is not there, or that would stand twice. */
export function changedMetadata(metadata: Metadata, changes: MetadataChanges): Metadata {
  const names = new Map((changes.renameKv ?? []).map(parseRename));
  const drops = new Set(changes.dropKv ?? []);
  for (const [option, keys] of [
    ["renameKv", names.keys()],
    ["dropKv", drops],
  ] as const) {
    for (const key of keys) {
      if (!metadata.has(key)) {
        throw new UsageError(`\`${option}\` ${key}: the model has no metadata of that key.`, {
          key,
        });
      }
    }
  }
  const changed = new Map<string, ReturnType<Metadata["get"]> & {}>();
  for (const [key, value] of metadata) {
    if (drops.has(key)) {
      continue;
    }
    const name = names.get(key) ?? key;
    if (changed.has(name)) {
      throw new UsageError(
        `\`renameKv\`: ${name} would stand twice; leave out the other one with \`dropKv\`.`,
        {
          key: name,
        },
      );
    }
    changed.set(name, value);
  }
  for (const [key, value] of changes.overrides) {
    changed.set(key, value);
  }
  return changed;
}

function parseRename(text: string): [string, string] {
  const [key, name, ...more] = text.split("=");
  if (!key || !name || more.length > 0) {
    throw new UsageError(`\`renameKv\` ${text}: is not of the form KEY=NAME.`);
  }
  return [key, name];
}
