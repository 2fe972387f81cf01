/** Readers of option values, shared by the commands: each returns the value or raises commander's usage error. */
import { InvalidArgumentError } from "commander";
import { LopsidedError } from "../errors.js";

/** Gathers the values of an option that may be given several times. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** A whole number of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`it must be a whole number of at least ${least}.`);
    }
    return value;
  };
}

/** A number of at least 0. */
export function notNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError("it must be a number of at least 0.");
  }
  return value;
}

/** Turns a reader that throws our errors into one for commander. */
export function read<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof LopsidedError) {
        throw new InvalidArgumentError(error.message);
      }
      throw error;
    }
  };
}
