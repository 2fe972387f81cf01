/** Says what a file is that does not begin with GGUF's magic: usually a download gone wrong. */

const lookAlikes: readonly (readonly [looksLike: (text: string) => boolean, what: string])[] = [
  [
    (text) => text.startsWith("version https://git-lfs"),
    'is a Git LFS pointer, not the model itself. Run "git lfs pull" in its repository, or download the file.',
  ],
  [
    (text) => /^\s*<(!doctype|html|head|\?xml)/i.test(text),
    "is a web page, not a model: the download was answered with a page. Download the file itself.",
  ],
  [
    (text) => /^\s*[{[]\s*["}\]]/.test(text),
    "is JSON text, not a model: perhaps a server's error message. Download the file itself.",
  ],
  [
    (text) => /^(lmgg|fmgg|tjgg|algg)/.test(text),
    "is a GGML file from before GGUF (2023). Convert the original model again.",
  ],
  [
    (text) => text.startsWith("PK\x03\x04"),
    "is a zip archive, perhaps a PyTorch checkpoint, not a GGUF file. Unpack or convert it first.",
  ],
  [
    (text) => text.startsWith('{"', 8),
    "is a safetensors file, not a GGUF file. Name the folder that it lies in.",
  ],
];

/** The rest of a sentence that begins with the file's name. `start` is the file's beginning. */
export function describeNotGguf(start: Uint8Array): string {
  const text = String.fromCharCode(...start);
  for (const [looksLike, what] of lookAlikes) {
    if (looksLike(text)) {
      return what;
    }
  }
  const bytes = [...start.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `is not a GGUF file: it begins with the bytes ${bytes}, not with 47 47 55 46 ("GGUF"). Name a GGUF file, or download it again.`;
}
