/** llama.cpp's short options of several letters (`-ctk`), which commander would read as letters of their own. */

const longNames: ReadonlyMap<string, string> = new Map([
  ["-ctk", "--cache-type-k"],
  ["-ctv", "--cache-type-v"],
  ["-fa", "--flash-attn"],
  ["-hf", "--hf-repo"],
  ["-hfr", "--hf-repo"],
  ["-cb", "--cont-batching"],
  ["-md", "--model-draft"],
  ["-ngl", "--gpu-layers"],
  ["-np", "--parallel"],
  ["-sys", "--system-prompt"],
]);

/** The arguments with long names in place of such options; `-ctk=q8_0` too. */
export function withLongOptions(args: readonly string[]): string[] {
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  return args.map((arg, index) => {
    if (index >= end) {
      return arg;
    }
    const [name = "", ...rest] = arg.split("=");
    const long = longNames.get(name);
    return long === undefined ? arg : [long, ...rest].join("=");
  });
}
