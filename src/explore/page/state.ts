/** What the page has open, and what the address says of it. */
import { MalformedInputError } from "../../errors.js";
import type { ExplorableModel } from "../explorable-model.js";
import type { Knowledge } from "../explorer.js";
import { type PageData, unpackModel } from "../page-data.js";
import { readSettings, type Settings, writeSettings } from "../settings.js";
import { byId } from "./elements.js";

/** A model that is open. */
export interface Opened {
  readonly model: ExplorableModel;
  readonly knowledge: Knowledge;
  /** Where it was opened from; undefined for the page's own and for dropped files. */
  readonly address: string | undefined;
}

/** What the page was built with. */
export function pageData(): PageData {
  return JSON.parse(byId("page-data").textContent ?? "{}") as PageData;
}

/** The page's own model. */
export async function ownModel(data: PageData): Promise<Opened | undefined> {
  return data.model && { ...(await unpackModel(data.model)), address: undefined };
}

/** The address's part behind the number sign. */
export function addressParameters(): URLSearchParams {
  return new URLSearchParams(location.hash.slice(1));
}

/** Settings of the address, or those to begin with. Throws a UsageError for what cannot be meant. */
export function addressSettings({ start = "" }: PageData): Settings {
  const parameters = addressParameters();
  return readSettings(parameters.size > 0 ? parameters : new URLSearchParams(start));
}

/** Writes what is asked into the address. */
export function writeAddress(settings: Settings, model: string | undefined): void {
  const parameters = writeSettings(settings);
  if (model !== undefined) {
    parameters.set("model", model);
  }
  history.replaceState(null, "", `#${parameters}`);
}

/** What is wrong, as a sentence. */
export function sentence(error: unknown): string {
  if (error instanceof RangeError || error instanceof TypeError) {
    return new MalformedInputError(`the file cannot be read (${error.message}); use another.`).message;
  }
  return error instanceof Error ? error.message : String(error);
}
