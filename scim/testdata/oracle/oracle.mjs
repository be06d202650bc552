// Answers questions about SCIM with the libraries of others: one JSON object on each line of the standard
// input, one JSON line for each on the standard output, in the same order.
//
//   {"lib", "kind": "patch", "resource", "operations"}  ->  {"result": the patched resource}
//   {"lib", "kind": "filter", "resource", "filter"}     ->  {"result": true when it matches}
//   {"lib", "kind": "path", "path"}                     ->  {"result": the name of the attribute it names}
//
// What a library refuses is {"error": text}.
import { createInterface } from "node:readline";
import scimPatch from "scim-patch";
import parseFilter from "scim2-parse-filter";
import SCIMMY from "scimmy";

const patchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

// scimmy knows the types of attributes from its own schemas.
const User = SCIMMY.Schemas.User;
User.extend(SCIMMY.Schemas.EnterpriseUser);

const libraries = {
  "scim-patch": {
    patch({ resource, operations }) {
      scimPatch.patchBodyValidation({ schemas: [patchURN], Operations: operations });
      return scimPatch.scimPatch(resource, operations, { mutateDocument: false, treatMissingAsAdd: false });
    },
  },
  "scim2-parse-filter": {
    filter: ({ resource, filter }) => parseFilter.filter(parseFilter.parse(filter))(resource),
  },
  scimmy: {
    async patch({ resource, operations }) {
      const patch = new SCIMMY.Messages.PatchOp({ schemas: [patchURN], Operations: operations });
      const user = new User(resource, "in");
      // Nothing comes back when nothing changed.
      return (await patch.apply(user)) ?? user;
    },
    filter: ({ resource, filter }) => new SCIMMY.Types.Filter(filter).match([resource]).length > 0,
    path: ({ path }) => User.definition.attribute(path).name,
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const how = libraries[question.lib]?.[question.kind];
  if (!how) throw new Error(`${question.lib} is not asked about ${question.kind}`);
  let answer;
  try {
    answer = JSON.stringify({ result: await how(question) });
  } catch (e) {
    answer = JSON.stringify({ error: String(e?.message ?? e) || "refused" });
  }
  process.stdout.write(answer + "\n");
}
