import { resolve } from "node:path";
import { type Folder, LocalFolder } from "../../bytes/folder.js";
import { MalformedInputError } from "../../errors.js";
import type { Metadata } from "../../gguf/metadata.js";
import { openSafetensorsFolder } from "../../safetensors/folder.js";
import { type ModelSource, weightCount } from "../source.js";
import type { Dimensions, HuggingFaceArchitecture } from "./architecture.js";
import { MetadataBuilder } from "./builder.js";
import { type ConversionTarget, conversionFileType } from "./conversion.js";
import { Fields } from "./fields.js";
import { generalMetadata } from "./general.js";
import { hyperparameters } from "./hyperparameters.js";
import { qwen2Moe } from "./qwen2-moe.js";
import { qwen3 } from "./qwen3.js";
import { qwen3Moe } from "./qwen3-moe.js";
import { sizeLabel } from "./size-label.js";
import { type StretchedTensor, sourceTensor } from "./stretches.js";
import { mapTensors } from "./tensors.js";
import { tokenizerMetadata } from "./tokenizer.js";

/** GGML_QNT_VERSION in llama.cpp `ggml/include/ggml.h`. */
const quantizationVersion = 2;

const architectures: readonly HuggingFaceArchitecture[] = [qwen3Moe, qwen3, qwen2Moe];

/**
 * Opens a Hugging Face folder (config.json, safetensors, tokenizer.json) as a model with GGUF's names, shapes
 * and metadata, as llama.cpp's `convert_hf_to_gguf.py` writes them. Experts are stacked: rows of such a tensor
 * come from the expert's own place in the files. Only headers and JSON files are read here.
 *
 * `general.file_type` is that of the stored type; a conversion to another type sets its own.
 *
 * Throws an EnvironmentError if there is no such folder and a MalformedInputError, naming file and tensor, if
 * the model is incomplete, contradicts itself, is quantized already or of an unknown architecture.
 */
export async function openHuggingFaceFolder(path: string): Promise<ModelSource> {
  return openHuggingFaceModel(await LocalFolder.open(resolve(path)));
}

/** As `openHuggingFaceFolder`, for a folder that need not be on disk. */
export async function openHuggingFaceModel(folder: Folder): Promise<ModelSource> {
  const config = await readConfig(folder);
  const architecture = findArchitecture(config);
  const dimensions = architecture.dimensions(config);
  const files = await openSafetensorsFolder(folder);
  try {
    const plan = {
      name: folder.name,
      architecture,
      dimensions,
      tied: config.flag("tie_word_embeddings") ?? false,
    };
    const tensors = mapTensors(plan, files.tensors.values());
    return {
      name: folder.name,
      metadata: await modelMetadata(folder, config, architecture, dimensions, tensors),
      tensors: tensors.map(sourceTensor),
      byteLength: files.byteLength,
      files: files.files,
      close: files.close,
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

async function readConfig(folder: Folder): Promise<Fields> {
  if ((await folder.list()).includes("modules.json")) {
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
  const quantization = config.object("quantization_config");
  if (quantization) {
    throw new MalformedInputError(
      `${config.file}: the model is quantized already (${quantization.string("quant_method") ?? "unknown method"}); take the original model in BF16, F16 or F32.`,
      { file: config.file },
    );
  }
  return config;
}

function findArchitecture(config: Fields): HuggingFaceArchitecture {
  const [name] = config.items("architectures");
  const found = architectures.find(({ huggingFace }) => huggingFace === name);
  if (found) return found;
  const supported = architectures.map(({ huggingFace }) => huggingFace).join(", ");
  throw new MalformedInputError(
    `${config.file}: the architecture ${JSON.stringify(name ?? null)} cannot be converted (only ${supported}); use llama.cpp's convert_hf_to_gguf.py and give its GGUF file to Lopsided.`,
    { file: config.file },
  );
}

async function modelMetadata(
  folder: Folder,
  config: Fields,
  architecture: HuggingFaceArchitecture,
  dimensions: Dimensions,
  tensors: readonly StretchedTensor[],
): Promise<Metadata> {
  const parameters = tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const facts = { architecture: architecture.gguf, parameters, sizeLabel: sizeLabel(tensors) };
  return new MetadataBuilder()
    .add(await generalMetadata(folder, config, facts))
    .add(hyperparameters(architecture.gguf, config, conversionFileType(storedType(tensors))))
    .add(architecture.metadata(config))
    .uint32("general.quantization_version", quantizationVersion)
    .add(await tokenizerMetadata(folder, config, dimensions.vocabulary ?? 0)).entries;
}

/** Type of the first matrix, as llama.cpp's converter guesses it. */
function storedType(tensors: readonly StretchedTensor[]): ConversionTarget {
  const matrix = tensors.find(({ shape }) => shape.length >= 2);
  return (matrix?.stretches[0]?.tensor.dtype ?? "F32") as ConversionTarget;
}
