/** Opens Hugging Face folders: from config.json and the headers of the safetensors files to a model of GGUF tensors. */
import { resolve } from "node:path";
import { type Folder, hasFile, LocalFolder } from "../../bytes/folder.js";
import { MalformedInputError, UsageError } from "../../errors.js";
import type { Metadata } from "../../gguf/metadata.js";
import { openSafetensorsFolder } from "../../safetensors/folder.js";
import type { SafetensorsTensor } from "../../safetensors/header.js";
import { mostOfFacts } from "../architecture.js";
import { fusesGateAndUp } from "../fused-experts.js";
import { rowCount, type SourceTensor, weightCount } from "../source.js";
import type { ModelFamily } from "./architecture.js";
import { findArchitecture } from "./architectures/index.js";
import { MetadataBuilder } from "./builder.js";
import {
  type ConversionTarget,
  conversionFileType,
  conversionType,
  mxfp4FileType,
  storableType,
  storedTarget,
} from "./conversion.js";
import { Fields } from "./fields.js";
import { readQuantization } from "./formats/quantization.js";
import type { StoredFormat } from "./formats/stored-tensor.js";
import { storedTensors } from "./formats/stored-tensors.js";
import { generalMetadata } from "./general/general.js";
import { sizeLabel } from "./general/size-label.js";
import type { LayerCount } from "./layer-count.js";
import { asReadByLlama, fuseGateAndUp, type MappedTensor, mapTensors } from "./map-tensors.js";
import { metadataOf } from "./metadata-rules.js";
import type { ConversionOptions, HuggingFaceModel } from "./model.js";
import { ropeParameters } from "./rope.js";
import { checkRows } from "./rows.js";
import type { Sizes } from "./tensor-rules.js";
import { tiedOutputNote } from "./tied-output.js";
import { tokenizerMetadata } from "./tokenizer/tokenizer.js";
import { RecentMatrices } from "./transformations/transpose.js";
import { visionTowerOf } from "./vision/index.js";

/** GGML_QNT_VERSION in llama.cpp `ggml/include/ggml.h`. */
const quantizationVersion = 2;

/**
 * Opens a Hugging Face folder (config.json, safetensors, tokenizer) as a model with GGUF's names, shapes and
 * metadata, as llama.cpp's `convert_hf_to_gguf.py` writes them. Experts are stacked: rows of such a tensor come
 * from the expert's own place in the files. Packed weights are decoded row by row; MXFP4 stays as it is. Only
 * headers and JSON files are read here.
 *
 * `general.file_type` is that of the stored type; a conversion to another type sets its own.
 *
 * Throws an EnvironmentError if there is no such folder and a MalformedInputError, naming file and tensor, if
 * the model is incomplete, contradicts itself, is packed in an unknown way or of an unknown architecture.
 */
export async function openHuggingFaceFolder(
  path: string,
  options: ConversionOptions = {},
): Promise<HuggingFaceModel> {
  return openHuggingFaceModel(await LocalFolder.open(resolve(path)), options);
}

/** As `openHuggingFaceFolder`, for a folder that need not be on disk. */
export async function openHuggingFaceModel(
  folder: Folder,
  options: ConversionOptions = {},
): Promise<HuggingFaceModel> {
  const whole = await readConfig(folder);
  const quantization = readQuantization(whole);
  const tower = options.mmproj ? await visionTowerOf(folder, whole) : undefined;
  const { family: architecture, config } = tower ?? { family: findArchitecture(whole), config: whole };
  const sizes = architecture.sizes(config);
  const files = await openSafetensorsFolder(folder);
  try {
    const recent = new RecentMatrices();
    const layers = tower
      ? { hidden: tower.blocks, stored: 0, prediction: 0, onlyPrediction: false }
      : countLayers(config, architecture, files.tensors, options);
    const plan = { name: folder.name, architecture, config, layers, sizes, recent };
    const { tensors: mapped, leftOut } = mapTensors(plan, storedTensors(files.tensors, quantization, recent));
    const tensors = fused(mapped, architecture, options);
    const types = new ConversionTypes(architecture, tensors, options);
    const metadata = await modelMetadata(folder, { config, architecture, sizes, layers }, tensors, types);
    const sources = tensors.map(sourceTensor);
    const tiedNote = tower ? undefined : await tiedOutputNote(config, sources);
    return {
      name: folder.name,
      metadata,
      tensors: sources,
      byteLength: files.byteLength,
      files: files.files,
      close: files.close,
      notes: [
        ...[...leftOut].map(([what, count]) => `${count} tensors are left out: ${what}.`),
        ...(tiedNote === undefined ? [] : [tiedNote]),
      ],
      storedTarget: types.stored,
      conversionType: (tensor, target) => types.typeOf(tensor, target),
      fileType: (target) => types.fileType(target),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** config.json, with the text model's part of it beside the rest. */
async function readConfig(folder: Folder): Promise<Fields> {
  if (await hasFile(folder, "modules.json")) {
    throw new MalformedInputError(
      `${folder.name}: is an embedding model (it has modules.json); convert it with llama.cpp's convert_hf_to_gguf.py.`,
      { file: folder.name },
    );
  }
  const config = await Fields.read(folder, "config.json");
  if (!config) {
    throw new MalformedInputError(`${folder.name}: has no config.json; name a Hugging Face model folder.`, {
      file: folder.name,
    });
  }
  const text = config.object("text_config");
  const names = config.value("architectures");
  return text
    ? config.merged(text.json).merged(new Map(names === undefined ? [] : [["architectures", names]]))
    : config;
}

function countLayers(
  config: Fields,
  architecture: ModelFamily,
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  { prediction }: ConversionOptions,
): LayerCount {
  const hidden = config.requireSize("num_hidden_layers", mostOfFacts.layers);
  const stored = architecture.prediction?.count(config, tensors.keys()) ?? 0;
  if (stored > mostOfFacts.layers) {
    throw new MalformedInputError(
      `${config.file}: has ${stored} layers that predict further tokens (MTP), which no model has; download it again.`,
      { file: config.file },
    );
  }
  const kept = architecture.prediction?.kept ?? "never";
  const isAsked = prediction === "only" || prediction === "embedded";
  if (isAsked && (kept === "never" || stored === 0)) {
    throw new UsageError(
      `${config.file}: \`mtp\`: ${kept === "never" ? `llama.cpp reads no prediction layers (MTP) of ${architecture.gguf}` : "the model has no prediction layers (MTP)"}; leave the option out.`,
      { file: config.file },
    );
  }
  const isWanted = isAsked || (prediction !== "none" && kept === "with the model");
  return { hidden, stored, prediction: isWanted ? stored : 0, onlyPrediction: prediction === "only" };
}

function fused(
  tensors: readonly MappedTensor[],
  architecture: ModelFamily,
  options: ConversionOptions,
): readonly MappedTensor[] {
  if (!options.fuseGateAndUp) {
    return tensors;
  }
  if (!fusesGateAndUp(architecture.gguf)) {
    throw new UsageError(
      `\`fuseGateUpExps\`: llama.cpp reads gate and up of ${architecture.gguf} as two tensors only; leave the option out.`,
      { architecture: architecture.gguf },
    );
  }
  return fuseGateAndUp(tensors);
}

function sourceTensor(tensor: MappedTensor): SourceTensor {
  const { name, shape, format, bytesPerWeight } = tensor;
  const rows = asReadByLlama(tensor);
  const count = rowCount(shape);
  return {
    name,
    shape,
    type: rows.type,
    ...(isDecoded(format) && { packed: { format, bytes: Math.round(bytesPerWeight * weightCount(shape)) } }),
    async readRows(first, length) {
      checkRows(name, count, first, length);
      return await rows.read(first, length);
    },
  };
}

/** Whether rows of a format are decoded while they are read. */
function isDecoded(format: StoredFormat): boolean {
  return format === "FP8" || format === "NVFP4" || format === "INT4" || format === "INT8";
}

/** What the tensors of a model become in a converted file. */
class ConversionTypes {
  readonly stored: ConversionTarget;
  readonly #formats: ReadonlyMap<string, MappedTensor>;
  readonly #architecture: ModelFamily;
  readonly #options: ConversionOptions;

  constructor(architecture: ModelFamily, tensors: readonly MappedTensor[], options: ConversionOptions) {
    this.#architecture = architecture;
    this.#options = options;
    this.#formats = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    this.stored = storedTarget(tensors);
  }

  typeOf({ name, shape, type }: SourceTensor, target: ConversionTarget) {
    const format = this.#formats.get(name)?.format;
    if (type === "MXFP4" || type === "I32") {
      return type;
    }
    const fixed = this.#architecture.fixedTypes?.get(name);
    if (fixed !== undefined) {
      return fixed;
    }
    if (this.#architecture.keepsSourceTypes) {
      const stored = format === "F32" || format === "F16" || format === "BF16" ? format : "Q8_0";
      const isSmall = shape.length <= 1 || name.endsWith("_norm.weight");
      return isSmall ? "F32" : storableType(stored, shape[0] ?? 0);
    }
    const isQ8 = this.#options.fp8AsQ8 && format === "FP8" && target !== "F32";
    return conversionType({ name, shape }, isQ8 ? "Q8_0" : target);
  }

  fileType(target: ConversionTarget): number {
    const hasMxfp4 = [...this.#formats.values()].some(({ rows }) => rows.type === "MXFP4");
    const isMxfp4 = hasMxfp4 && (target !== "Q8_0" || this.#architecture.keepsSourceTypes);
    return isMxfp4 ? mxfp4FileType : conversionFileType(target);
  }
}

async function modelMetadata(
  folder: Folder,
  model: {
    readonly config: Fields;
    readonly architecture: ModelFamily;
    readonly sizes: Sizes;
    readonly layers: LayerCount;
  },
  tensors: readonly MappedTensor[],
  types: ConversionTypes,
): Promise<Metadata> {
  const { config, architecture, sizes, layers } = model;
  const parameters = tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const isTower = architecture.gguf === "clip";
  const facts = {
    architecture: architecture.gguf,
    parameters,
    sizeLabel: sizeLabel(tensors),
    ...(isTower && { type: "mmproj" }),
  };
  const context = { config, rope: isTower ? config : ropeParameters(config), sizes, layers };
  const builder = new MetadataBuilder()
    .add(await generalMetadata(folder, config, facts))
    .add(metadataOf(architecture.gguf, architecture.metadata, context))
    .uint32("general.file_type", types.fileType(types.stored))
    .uint32("general.quantization_version", quantizationVersion);
  const vocabulary = sizes.vocabulary ?? 0;
  return isTower
    ? builder.entries
    : builder.add(await tokenizerMetadata(folder, config, vocabulary, architecture.tokenizer)).entries;
}
