/** Machines by class: how much of "16 GB" a model can really have. */
import { parseSize } from "../bytes/size.js";
import { UsageError } from "../errors.js";

export interface Machine {
  /** What the user called it. */
  readonly name: string;
  /** Bytes that llama.cpp can have there, before the margin. */
  readonly bytes: number;
  /** Left free, for what is not llama.cpp's buffers. */
  readonly marginBytes: number;
  /** Whether it is the memory of a graphics card: the token embedding then stays in the computer's memory. */
  readonly isCard: boolean;
  /** Where the figure comes from, for people. */
  readonly basis: string;
}

/** llama-server's own margin (`--fit-target`, 1024 MiB on each device): with less it shortens the context itself. */
export const defaultMarginBytes = 2 ** 30;

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** An RTX 5070 Ti, sold with 16 GB, reports 15,842 MiB (llama.cpp issue 22544); other cards lose the same share. */
const cardShare = 15_842 / 16_384;

/** What macOS lets Metal have: two thirds of the memory, three quarters from 36 GB up (10,922.67 MiB of 16 GB). */
function workingSetShare(gigabytes: number): number {
  return gigabytes < 36 ? 2 / 3 : 3 / 4;
}

/**
 * Reads `16GB GPU`, `16GB Mac`, `32GB RAM`, `host RAM` (this computer) or a plain size, which is taken as it is.
 * @param hostBytes memory of this computer
 * @param marginBytes left free; {@link defaultMarginBytes} by default
 */
export function parseMachine(text: string, hostBytes: number, marginBytes = defaultMarginBytes): Machine {
  const name = text.trim().replace(/\s+/g, " ");
  const machine = (bytes: number, isCard: boolean, basis: string): Machine => ({
    name,
    bytes: Math.floor(bytes),
    marginBytes,
    isCard,
    basis,
  });
  if (/^(this )?host( ram| memory)?$/i.test(name)) {
    return machine(hostBytes, false, "memory of this computer");
  }
  const [, amount, kind] = /^(\d+(?:\.\d+)?) ?G(?:i?B)? (GPU|card|Mac|RAM|host RAM)$/i.exec(name) ?? [];
  if (amount === undefined || kind === undefined) {
    return machine(plainSize(text), false, "as given");
  }
  const gigabytes = Number(amount);
  switch (kind.toLowerCase()) {
    case "gpu":
    case "card": {
      const bytes = Math.floor(gigabytes * 1024 * cardShare) * MiB;
      return machine(bytes, true, "what such a card reports: 15,842 MiB of 16 GB");
    }
    case "mac":
      return machine(
        gigabytes * GiB * workingSetShare(gigabytes),
        false,
        "macOS's recommendedMaxWorkingSetSize for graphics, unless raised with iogpu.wired_limit_mb",
      );
    default:
      return machine(gigabytes * GiB, false, "all memory of such a computer");
  }
}

function plainSize(text: string): number {
  try {
    return parseSize(text);
  } catch {
    throw new UsageError(
      `"${text}" is not an amount of memory; write a size like 16GB or 10.6GiB, or a machine: "16GB GPU", "16GB Mac", "32GB RAM", "host RAM".`,
      { memory: text },
    );
  }
}
