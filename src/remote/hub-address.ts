/** Addresses of repositories of the Hugging Face Hub and of files in them. */
import { shownAddress } from "../bytes/address.js";
import { isInside } from "../bytes/inside.js";
import { UsageError } from "../errors.js";

export interface HubAddress {
  /** `owner/name`. */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string | undefined;
  /** File in the repository; undefined for the repository itself. */
  readonly path: string | undefined;
}

const form = "hf://owner/repository[@revision] or hf://owner/repository[@revision]/path.gguf";

/** A revision with a slash is written with "%2F", or is one of the hub's own, as in Python's huggingface_hub. */
const addressPattern =
  /^hf:\/\/([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@(refs\/(?:pr|convert)\/[\w.-]+|[^/]+))?(?:\/(.*))?$/s;

/** Parts of an `hf://` address. Throws a UsageError that says the form. */
export function parseHubAddress(address: string): HubAddress {
  const [, repository, revision, path] = addressPattern.exec(address) ?? [];
  const isPlain = !path || isInside(path);
  const decoded = revision === undefined ? undefined : decode(revision);
  if (repository === undefined || !isPlain || decoded === null) {
    const shown = shownAddress(address);
    throw new UsageError(`${shown}: is not of the form ${form}.`, { model: shown });
  }
  return { repository, revision: decoded, path: path || undefined };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
