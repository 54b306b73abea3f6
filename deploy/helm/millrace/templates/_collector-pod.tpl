{{/* The pod template of a collector, of a StatefulSet or a Deployment. */}}
{{- define "millrace.collectorPod" -}}
{{- $at := list . "collector" -}}
{{- $collector := .Values.collector -}}
{{- $pod := $collector.pod -}}
{{- $files := and (eq $collector.output.preset "files") (not $collector.conf) (not .Values.config.existingConfigMap) -}}
metadata: {{- include "millrace.podMetadata" $at | nindent 2 }}
spec:
  {{- include "millrace.podPlace" $at | nindent 2 }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- $security := dict "runAsNonRoot" true "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") }}
  securityContext: {{- toYaml (mergeOverwrite $security (default dict $pod.podSecurityContext)) | nindent 4 }}
  topologySpreadConstraints:
    {{- if $pod.topologySpreadConstraints }}
    {{- $own := dict "matchLabels" (include "millrace.selector" $at | fromYaml) }}
    {{- range tpl (toYaml $pod.topologySpreadConstraints) . | fromYamlArray }}
    {{- /* A merge would lay one's own selector over this, and count these pods alone whatever it says. */}}
    {{- if kindIs "invalid" .labelSelector }}{{ $_ := set . "labelSelector" $own }}{{ end }}
    - {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "millrace.selector" $at | nindent 10 }}
    {{- end }}
    {{- end }}
  containers:
    - {{- include "millrace.container" $at | nindent 6 }}
      securityContext: {{- toYaml (mergeOverwrite (include "millrace.containerSecurity" . | fromYaml) (default dict $pod.securityContext)) | nindent 8 }}
      ports:
        - { name: avro, containerPort: {{ $collector.service.port }} }
        - { name: http, containerPort: {{ .Values.monitoring.port }} }
      volumeMounts:
        {{- include "millrace.mounts" $at | nindent 8 }}
        - { name: state, mountPath: /var/lib/millrace }
        {{- if $files }}
        - { name: out, mountPath: /var/lib/millrace/out{{ if $collector.output.files.existingClaim }}, subPathExpr: $(POD_NAME){{ end }} }
        {{- end }}
        {{- with $pod.volumeMounts }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "millrace.volumes" $at | nindent 4 }}
    {{- if ne $collector.channel "durable" }}
    - { name: state, emptyDir: { sizeLimit: 64Mi } }
    {{- end }}
    {{- if $files }}
    {{- if $collector.output.files.existingClaim }}
    - { name: out, persistentVolumeClaim: { claimName: {{ $collector.output.files.existingClaim }} } }
    {{- else if ne $collector.channel "durable" }}
    - { name: out, emptyDir: { sizeLimit: {{ $collector.output.files.size }} } }
    {{- end }}
    {{- end }}
    {{- with $pod.volumes }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
{{- end }}
