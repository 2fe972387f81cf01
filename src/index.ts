/**
 * Lopsided as a library: what the commands do, with the same names, and the parts they are made of.
 */

export { allocate } from "./budget/allocate.js";
export type { Allocation } from "./budget/allocation.js";
export type { RoleLimit } from "./budget/candidates.js";
export { type PlanResult, plan } from "./budget/plan.js";
export type { PlanOptions } from "./budget/plan-command.js";
export {
  type SensitivityResult,
  sensitivity,
} from "./budget/sensitivity/measure.js";
export type { SensitivityOptions } from "./budget/sensitivity/sensitivity-command.js";
export { type ByteSource, FileSource, MemorySource } from "./bytes/source.js";
export { compare } from "./compare/compare.js";
export type { CompareOptions } from "./compare/compare-command.js";
export type { ComparedModel, CompareResult } from "./compare/result.js";
export { type GenerateResult, generate } from "./corpus/generate.js";
export type { GenerateOptions } from "./corpus/generate-command.js";
export type { CacheType } from "./engine/cache-types.js";
export * from "./errors.js";
export type { Divergence } from "./evaluate/divergence.js";
export { type PerplexityResult, perplexity } from "./evaluate/measure.js";
export type { PerplexityOptions } from "./evaluate/perplexity-command.js";
export { type ExploreResult, explore } from "./explore/explore.js";
export type { ExploreOptions } from "./explore/explore-command.js";
export { type Chat, chat } from "./generate/chat.js";
export type { ChatOptions } from "./generate/chat-command.js";
export { Conversation, type ConversationOptions } from "./generate/conversation.js";
export { type GenerateControls, Generator, type GeneratorOptions } from "./generate/generator.js";
export type { AnswerGrammar } from "./generate/grammar/constraint.js";
export { schemaToGrammar } from "./generate/grammar/json-schema.js";
export { type Completion, type GenerateRequest, greedy } from "./generate/request.js";
export { type SamplingOptions, samplingDefaults } from "./generate/sampler.js";
export { type GgufLayout, type GgufPlan, planGguf } from "./gguf/layout.js";
export { type Metadata, type MetadataValue, metadataNumber, metadataString } from "./gguf/metadata.js";
export { type GgufHeader, type GgufTensor, readGgufHeader } from "./gguf/reader.js";
export { type ImatrixResult, imatrix } from "./imatrix/compute.js";
export { coverageWarning, type ExpertCoverage, expertCoverage } from "./imatrix/coverage.js";
export { readImatrixFile, writeImatrixFile } from "./imatrix/file.js";
export type { Imatrix, ImatrixEntry } from "./imatrix/imatrix.js";
export type { ImatrixOptions } from "./imatrix/imatrix-command.js";
export { type Importance, importanceOf } from "./imatrix/importance.js";
export { mergeImatrices } from "./imatrix/merge.js";
export { demo } from "./make/demo.js";
export { type MakeResult, make } from "./make/make.js";
export type { DemoOptions, MakeOptions } from "./make/make-command.js";
export { type PublishResult, publish } from "./make/publish.js";
export type { PublishOptions } from "./make/publish-command.js";
export type { StageEvent } from "./make/stages.js";
export { type FitResult, fit } from "./memory/fit.js";
export type { FitOptions } from "./memory/fit-command.js";
export { type CacheLayer, cacheLayers, cacheSize } from "./memory/kv-cache.js";
export { type Machine, parseMachine } from "./memory/machines.js";
export { measureMemoryTable } from "./memory/memory-table.js";
export { type InspectResult, inspect } from "./model/inspect.js";
export type { InspectOptions } from "./model/inspect-command.js";
export { openModel } from "./model/open.js";
export { type Role, type RoleSelector, roleOf } from "./model/roles.js";
export type { ModelSource, SourceTensor } from "./model/source.js";
export { type ModelSummary, summarize, type TensorGroup, tensorsWithRoles } from "./model/summary.js";
export type { OnProgress, Progress } from "./progress.js";
export { type ConvertResult, convert } from "./quantize/convert.js";
export type { ConvertOptions } from "./quantize/convert-command.js";
export { type PruneResult, prune } from "./quantize/prune.js";
export type { PruneOptions } from "./quantize/prune-command.js";
export {
  type QuantizedTensor,
  type QuantizeResult,
  quantize,
} from "./quantize/quantize.js";
export type { QuantizeOptions } from "./quantize/quantize-command.js";
export { type RelayoutResult, relayout } from "./quantize/relayout.js";
export type { RelayoutOptions } from "./quantize/relayout-command.js";
export {
  type ComparedTensor,
  type VerifyResult,
  verify,
  type ZeroBlocks,
} from "./quantize/verify.js";
export type { VerifyOptions } from "./quantize/verify-command.js";
export { decodeRows, encodeRows } from "./quants/codec.js";
export { type Effort, efforts } from "./quants/effort.js";
export { EncoderPool } from "./quants/pool.js";
export { type SharedInput, sharedInput } from "./quants/shared-input.js";
export type { Transcoder } from "./quants/transcoder.js";
export { bitsPerWeight, rowBytes, type TypeName, type TypeTraits, traitsOf, types } from "./quants/types.js";
export { loadRecipe, presetNames } from "./recipe/presets.js";
export { parseRecipe, type Recipe } from "./recipe/recipe.js";
export { renderRecipe } from "./recipe/render.js";
export { planTypes, type TypePlan } from "./recipe/type-plan.js";
export { renderCard } from "./report/card.js";
export type { CardOptions, ReportOptions } from "./report/card-command.js";
export { type Evaluation, readEvaluation, renderEvaluation } from "./report/evaluation.js";
export { card, type DocumentResult, report } from "./report/write.js";
export { type ScaledLayer, type ScalesResult, scales } from "./scales/scales.js";
export type { ScalesOptions } from "./scales/scales-command.js";
export { type CheckedTask, type CheckResult, check } from "./tasks/check.js";
export type { CheckOptions } from "./tasks/check-command.js";
export type { PassRate } from "./tasks/pass-rates.js";
export { version } from "./version.js";
export type { WrittenFile, WrittenOutput } from "./write/model-writer.js";
export type { WriteControls } from "./write/write-model.js";
