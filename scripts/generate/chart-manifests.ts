import { isMap, parseAllDocuments, parseDocument } from "yaml";

export const plainManifestsPath = "deploy/kubernetes/millrace.yaml";

/** The words with which Helm renders what `kubectl apply -k deploy/kubernetes` applies. */
export const plainManifestsWords: readonly string[] = [
  ...["template", "millrace", "deploy/helm/millrace", "--namespace", "millrace", "--skip-tests"],
  ...["--kube-version", "1.33.0", "--set", "image.repository=millrace"],
];

const head = `# Generated from the chart by the suite helm: UPDATE=1 npm run test:helm plain
# Of the release millrace in namespace millrace; kustomization.yaml says which image.
`;

/** What Helm has rendered, without what only Helm understands, and with the chart's own comments. */
export function plainManifests(rendered: string): string {
  const documents = parseAllDocuments(rendered).filter((document) => "contents" in document);
  const texts = documents
    .filter(({ contents }) => isMap(contents))
    .map((given) => {
      // Each on its own: a comment between two is neither's.
      const document = parseDocument(given.toString({ lineWidth: 0 }).replace(/^# Source: .*\n/gm, "")); // prettier-ignore
      const annotations = document.getIn(["metadata", "annotations"]);
      if (isMap(annotations)) {
        for (const key of ["hook", "hook-weight", "hook-delete-policy"]) {
          annotations.delete(`helm.sh/${key}`);
        }
        if (annotations.items.length === 0) document.deleteIn(["metadata", "annotations"]);
      }
      document.deleteIn(["metadata", "labels", "helm.sh/chart"]);
      document.deleteIn(["metadata", "labels", "app.kubernetes.io/managed-by"]);
      return document
        .toString({ lineWidth: 0 })
        .replace(/^---\n/, "")
        .trim();
    });
  return `${head}${texts.map((text) => `---\n${text}\n`).join("")}`;
}
