/** What the explorer is asked: all of it stands in the page's address, so that a link shows the same thing. */
import { parseRoleLimit } from "../budget/candidates.js";
import { parseSize } from "../contract/size.js";
import { type CacheType, parseCacheType } from "../engine/cache-types.js";
import { UsageError } from "../errors.js";
import { type Backend, backends, parseTypeName } from "../quants/types.js";

/** What the gigabytes of the slider mean: a kind of machine, or the file itself. */
export const memoryKinds = ["GPU", "Mac", "RAM", "file"] as const;
export type MemoryKind = (typeof memoryKinds)[number];

export interface Settings {
  readonly kind: MemoryKind;
  /** Of the machine's memory as it is sold, or of the file (10^9 bytes). */
  readonly gigabytes: number;
  /** Tokens for each conversation. */
  readonly context: number;
  readonly sequences: number;
  readonly keyType: CacheType;
  readonly valueType: CacheType;
  /** Only types with fast kernels there. */
  readonly backend: Backend | undefined;
  /** Whether the model will be quantized with an importance matrix, which types of few bits need. */
  readonly hasImportance: boolean;
  /** Pinned types, like `routed.down=IQ3_S,Q4_K`. */
  readonly pins: readonly string[];
}

export const defaultSettings: Settings = {
  kind: "GPU",
  gigabytes: 16,
  context: 8192,
  sequences: 1,
  keyType: "F16",
  valueType: "F16",
  backend: undefined,
  hasImportance: true,
  pins: [],
};

/** Largest numbers that a link may ask for: what is computed from them stays small. */
const most = { gigabytes: 1e5, context: 2 ** 25, sequences: 1024, pins: 64 };

/** The budget as the command line takes it: `16GB GPU`, or `11.4GB` of a file. */
export function memoryText({ kind, gigabytes }: Pick<Settings, "kind" | "gigabytes">): string {
  return kind === "file" ? `${gigabytes}GB` : `${gigabytes}GB ${kind}`;
}

/** Settings as an address has them; what is as usual is left out. */
export function writeSettings(settings: Settings): URLSearchParams {
  const { kind, context, sequences, keyType, valueType, backend, hasImportance, pins } = settings;
  const parameters = new URLSearchParams();
  parameters.set(kind === "file" ? "size" : "memory", memoryText(settings));
  const others: Readonly<Record<string, readonly [string | undefined, string | undefined]>> = {
    ctx: [`${context}`, `${defaultSettings.context}`],
    parallel: [`${sequences}`, `${defaultSettings.sequences}`],
    "cache-type-k": [keyType.toLowerCase(), defaultSettings.keyType.toLowerCase()],
    "cache-type-v": [valueType.toLowerCase(), defaultSettings.valueType.toLowerCase()],
    backend: [backend, undefined],
    imatrix: [hasImportance ? "yes" : "no", "yes"],
  };
  for (const [name, [value, usual]] of Object.entries(others)) {
    if (value !== undefined && value !== usual) {
      parameters.set(name, value);
    }
  }
  for (const pin of pins) {
    parameters.append("allow", pin);
  }
  return parameters;
}

/** Settings from an address. Throws a UsageError for what cannot be meant. */
export function readSettings(parameters: URLSearchParams): Settings {
  const backend = parameters.get("backend") ?? undefined;
  const pins = parameters.getAll("allow").slice(0, most.pins);
  for (const pin of pins) {
    parseRoleLimit(pin, "allowed", parseTypeName);
  }
  return {
    ...readMemory(parameters),
    context: wholeNumber(parameters, "ctx", defaultSettings.context, most.context),
    sequences: wholeNumber(parameters, "parallel", defaultSettings.sequences, most.sequences),
    keyType: parseCacheType(parameters.get("cache-type-k") ?? defaultSettings.keyType),
    valueType: parseCacheType(parameters.get("cache-type-v") ?? defaultSettings.valueType),
    backend: backend === undefined ? undefined : parseBackend(backend),
    hasImportance: parameters.get("imatrix") !== "no",
    pins,
  };
}

function readMemory(parameters: URLSearchParams): Pick<Settings, "kind" | "gigabytes"> {
  const size = parameters.get("size");
  if (size !== null) {
    return { kind: "file", gigabytes: bounded(size, parseSize(size) / 1e9) };
  }
  const memory = parameters.get("memory");
  if (memory === null) {
    return { kind: defaultSettings.kind, gigabytes: defaultSettings.gigabytes };
  }
  const [, amount, word = ""] = /^(\d+(?:\.\d+)?) ?GB (\w+)$/i.exec(memory) ?? [];
  const kind = memoryKinds.find((name) => name !== "file" && name.toLowerCase() === word.toLowerCase());
  if (amount === undefined || kind === undefined) {
    throw new UsageError(`"${memory}" is not a machine; write it like "16GB GPU", "24GB Mac" or "32GB RAM".`);
  }
  return { kind, gigabytes: bounded(memory, Number(amount)) };
}

function bounded(text: string, gigabytes: number): number {
  if (gigabytes > 0 && gigabytes <= most.gigabytes) {
    return gigabytes;
  }
  throw new UsageError(`"${text}" is not an amount of memory that a machine has; choose another.`);
}

function wholeNumber(parameters: URLSearchParams, name: string, usual: number, largest: number): number {
  const text = parameters.get(name);
  const number = text === null ? usual : Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= largest) {
    return number;
  }
  throw new UsageError(`${name} is ${text}; it must be a whole number from 1 to ${largest}.`);
}

function parseBackend(text: string): Backend {
  const backend = backends.find((name) => name === text);
  if (backend !== undefined) {
    return backend;
  }
  throw new UsageError(`"${text}" is not a backend; use one of ${backends.join(", ")}.`);
}
