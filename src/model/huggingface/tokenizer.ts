import type { Folder } from "../../bytes/folder.js";
import { MalformedInputError } from "../../errors.js";
import type { Metadata } from "../../gguf/metadata.js";
import { MetadataBuilder } from "./builder.js";
import { chatTemplateMetadata } from "./chat-template.js";
import { Fields } from "./fields.js";
import { preTokenizerName } from "./pre-tokenizer.js";
import { specialTokenMetadata } from "./special-tokens.js";
import { readVocabulary } from "./vocabulary.js";

/** All `tokenizer.*` keys of a model with `size` tokens. */
export async function tokenizerMetadata(folder: Folder, config: Fields, size: number): Promise<Metadata> {
  const tokenizer = await Fields.read(folder, "tokenizer.json");
  if (!tokenizer) {
    throw new MalformedInputError(
      `${folder.name}: has no tokenizer.json; download it, or write it with transformers' save_pretrained.`,
      { file: folder.name },
    );
  }
  const tokenizerConfig = await Fields.read(folder, "tokenizer_config.json");
  const { tokens, types, merges } = readVocabulary(tokenizer, tokenizerConfig, size);
  return new MetadataBuilder()
    .string("tokenizer.ggml.model", "gpt2")
    .string("tokenizer.ggml.pre", preTokenizerName(tokenizer))
    .strings("tokenizer.ggml.tokens", tokens)
    .int32s("tokenizer.ggml.token_type", types)
    .strings("tokenizer.ggml.merges", merges)
    .add(specialTokenMetadata(tokenizer, tokenizerConfig, config, size))
    .add(await chatTemplateMetadata(folder, tokenizerConfig)).entries;
}
