/**
 * Tiny models of the architectures with experts that llama.cpp v0.5.0 runs, and some variants: experts whose width
 * fills no superblock, fused matrices, layers that predict further tokens.
 */
import { denseModels } from "./dense.js";
import { latentAttention } from "./latent.js";
import type { TinyArchitecture } from "./parts.js";
import { mixturesOfExperts } from "./plain.js";
import { furtherTokens } from "./prediction.js";
import { recurrentLayers } from "./recurrent.js";

export { denseModels } from "./dense.js";
export type { TinyArchitecture } from "./parts.js";

/** By the model's name: the architecture's, or that of a variant. */
export const tinyArchitectures: Readonly<Record<string, TinyArchitecture>> = {
  ...mixturesOfExperts,
  ...latentAttention,
  ...recurrentLayers,
  ...furtherTokens,
  ...denseModels,
};
