/** llama.cpp's names of options, some of several letters (`-ctk`), which commander would read as letters of their own. */
import { flagOf } from "../contract/flags.js";
import type { Options } from "../contract/option.js";

/** The arguments with a command's own names in place of such options; `-ctk=q8_0` too. */
export function withLongOptions(args: readonly string[], options: Options): string[] {
  const names = new Map(
    Object.entries(options).flatMap(([name, row]) =>
      (row.aliases ?? []).map((alias) => {
        const [other = "", ...meant] = alias.split("=");
        return [other, [flagOf(name, row), ...meant]] as const;
      }),
    ),
  );
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  return args.map((arg, index) => {
    if (index >= end) {
      return arg;
    }
    const [name = "", ...rest] = arg.split("=");
    const long = names.get(name);
    return long === undefined ? arg : [...long, ...rest].join("=");
  });
}
