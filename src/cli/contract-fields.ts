/** Fields that several answers of the contract share. */
import { z } from 'zod';
import type { NodeId } from '../base/index.js';

export const node: z.ZodType<NodeId> = z.string().transform((name) => name as NodeId);
/** Absent and null are the same on the wire. */
export const maybeNumber = z.nullish(z.number()).transform((value) => value ?? undefined);
export const maybeText = z.nullish(z.string()).transform((value) => value ?? undefined);
export const count = z.number().int().nonnegative();
