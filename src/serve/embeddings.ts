/** `/v1/embeddings`. */
import type { EmbeddingRequest } from "./schemas.js";
import type { Caller, Service } from "./service.js";

/** Vectors of one or more texts. */
export async function answerEmbedding(
  service: Service,
  body: EmbeddingRequest,
  caller: Caller,
): Promise<Response> {
  const release = service.admit(body.input.length, caller);
  const answers = body.input.map((input) => service.embed(input, caller));
  const embeddings = await Promise.all(answers).finally(release);
  const tokens = embeddings.reduce((sum, embedding) => sum + embedding.tokens, 0);
  return Response.json({
    object: "list",
    model: service.modelId,
    data: embeddings.map(({ vector }, index) => ({
      object: "embedding",
      index,
      embedding: body.encoding_format === "base64" ? base64(vector) : [...vector],
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  });
}

/** Little-endian float32, as OpenAI's clients ask for by default. */
function base64(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  for (const [index, value] of vector.entries()) {
    bytes.writeFloatLE(value, 4 * index);
  }
  return bytes.toString("base64");
}
