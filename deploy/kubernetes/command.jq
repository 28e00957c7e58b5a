# A pod that runs one command with the settings, secrets and limits of the workers, where no worker is
# there to `kubectl exec` into. docs/operations.md shows how.
{
  apiVersion: "v1",
  kind: "Pod",
  # The network policy lets it reach Kafka; it is none of the StatefulSet's, nor of the Service's.
  metadata: {name: "millstream-command", labels: {"app.kubernetes.io/name": "millstream"}},
  spec: (
    .spec.template.spec
    | .restartPolicy = "Never"
    | del(.topologySpreadConstraints)
    | .containers[0] |= (
        .args = ($command | split(" "))
        | del(.startupProbe, .livenessProbe, .readinessProbe)
      )
  )
}
