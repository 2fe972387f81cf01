/** How long an encoder may search. Every effort gives sound, unbiased blocks; more effort gives smaller errors. */
export const efforts = ["fast", "default", "fine"] as const;

export type Effort = (typeof efforts)[number];
