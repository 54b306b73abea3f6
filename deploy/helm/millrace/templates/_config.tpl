{{/* A role's whole file. Give (list $ "edge"). */}}
{{- define "millrace.conf" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $values := index $root.Values $role -}}
{{- if $values.conf -}}
{{ trim $values.conf }}
{{- else -}}
{{ include (printf "millrace.%sConf" $role) $root | trim }}
{{- end }}
{{- with $values.extraConf }}

# ---- {{ $role }}.extraConf ----
{{ trim . }}
{{- end }}
{{- end }}

{{- define "millrace.configMap" -}}
{{- $root := index . 0 -}}
{{- default (include (printf "millrace.%s" (index . 1)) $root) $root.Values.config.existingConfigMap -}}
{{- end }}

{{/* A ConfigMap of a role's file, unless you have one. */}}
{{- define "millrace.configMapManifest" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- if not $root.Values.config.existingConfigMap -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "millrace.configMap" . }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "millrace.labels" . | nindent 4 }}
data:
  {{ $role }}.conf: |
    {{- include "millrace.conf" . | nindent 4 }}
{{- end }}
{{- end }}
