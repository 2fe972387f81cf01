/** Machines by class: how much of "16 GB" a model can really have. */
import { parseSize } from "../contract/size.js";
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

const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;

/** Kinds of machines: a class of machines is a row, and everything that lists or explains them asks it. */
interface MachineClass {
  /** What is written behind the gigabytes, in lower case, the usual name first. */
  readonly names: readonly string[];
  /** How the usual name is written. */
  readonly title: string;
  /** Bytes that llama.cpp can have of so many gigabytes, before the margin. */
  readonly usable: (gigabytes: number) => number;
  readonly basis: string;
  readonly isCard: boolean;
  /** Gigabytes that people have, for tables of what fits where. */
  readonly sizes: readonly number[];
}

/** An RTX 5070 Ti, sold with 16 GB, reports 15,842 MiB (llama.cpp issue 22544); other cards lose the same share. */
const cardShare = 15_842 / 16_384;

const machineClasses: readonly MachineClass[] = [
  {
    names: ["gpu", "card"],
    title: "GPU",
    usable: (gigabytes) => Math.floor(gigabytes * 1024 * cardShare) * mebibyte,
    basis: "what such a card reports: 15,842 MiB of 16 GB",
    isCard: true,
    sizes: [6, 8, 12, 16, 24, 32],
  },
  {
    names: ["mac"],
    title: "Mac",
    // What macOS lets Metal have: two thirds of the memory, three quarters from 36 GB up (10,922.67 MiB of 16 GB).
    usable: (gigabytes) => gigabytes * gibibyte * (gigabytes < 36 ? 2 / 3 : 3 / 4),
    basis: "macOS's recommendedMaxWorkingSetSize for graphics, unless raised with iogpu.wired_limit_mb",
    isCard: false,
    sizes: [8, 16, 24, 32, 64],
  },
  {
    names: ["ram", "host ram"],
    title: "RAM",
    usable: (gigabytes) => gigabytes * gibibyte,
    basis: "all memory of such a computer",
    isCard: false,
    sizes: [16, 32, 64],
  },
];

/** Machines that people have: `6GB GPU`, ..., `64GB RAM`. */
export const commonMachines: readonly string[] = machineClasses.flatMap(({ title, sizes }) =>
  sizes.map((gigabytes) => `${gigabytes}GB ${title}`),
);

/** Gigabytes that people have of a class of machines, by its title. */
export function machineSizes(title: string): readonly number[] {
  return machineClasses.find((machine) => machine.title === title)?.sizes ?? [];
}

/** How amounts of memory are written, for help texts and errors: `16GB, "16GB GPU", ... or "host RAM"`. */
export const machineExamples = [...machineClasses.map(({ title }) => `"16GB ${title}"`), '"host RAM"'].join(
  ", ",
);

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
  const [, amount, kind = ""] = /^(\d+(?:\.\d+)?) ?G(?:i?B)? ([a-z ]+)$/i.exec(name) ?? [];
  const found = machineClasses.find(({ names }) => names.includes(kind.toLowerCase()));
  return found
    ? machine(found.usable(Number(amount)), found.isCard, found.basis)
    : machine(plainSize(text), false, "as given");
}

function plainSize(text: string): number {
  try {
    return parseSize(text);
  } catch {
    throw new UsageError(
      `"${text}" is not an amount of memory; write a size like 16GB or 10.6GiB, or a machine: ${machineExamples}.`,
      { memory: text },
    );
  }
}
