/** Every case of the suite. */
import "./cases/auth.ts";
import "./cases/connect.ts";
import "./cases/publish.ts";
import "./cases/qos.ts";
import "./cases/receiver.ts";
import "./cases/session.ts";
import "./cases/subscribe.ts";
import { allCases, type Case } from "./harness.ts";

export const cases: readonly Case[] = allCases();
