/** Small safetensors files for tests. */

export interface TestSafetensor {
  readonly dtype: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** The bytes of a file with this header (an object, or text as it is) and data. */
export function safetensorsFile(header: object | string, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** The bytes of a sound file with these tensors, one after another. */
export function safetensorsBytes(tensors: Readonly<Record<string, TestSafetensor>>): Uint8Array {
  const header: Record<string, object> = { __metadata__: { format: "pt" } };
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + data.length] };
    end += data.length;
    parts.push(data);
  }
  return safetensorsFile(header, Buffer.concat(parts));
}
