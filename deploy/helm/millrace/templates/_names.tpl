{{/*
What everything begins with; 40 characters at most, so that every name made of it is a label too. A release's name
may have dots, a Service's may not.
*/}}
{{- define "millrace.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- include "millrace.short" (dict "text" (default $full .Values.fullnameOverride | replace "." "-") "max" 40) }}
{{- end }}

{{/* A text of `max` characters at most: a longer one ends in eight digits of its hash, so that two stay two. */}}
{{- define "millrace.short" -}}
{{- if gt (len .text) (int .max) -}}
{{ printf "%s-%s" (.text | trunc (int (sub .max 9)) | trimSuffix "-") (sha256sum .text | trunc 8) }}
{{- else -}}
{{ .text }}
{{- end }}
{{- end }}

{{- define "millrace.edge" -}}{{ include "millrace.fullname" . }}-edge{{- end }}
{{- define "millrace.collector" -}}{{ include "millrace.fullname" . }}-collector{{- end }}
{{- define "millrace.headless" -}}{{ include "millrace.collector" . }}-headless{{- end }}
{{- define "millrace.makeCerts" -}}{{ include "millrace.fullname" . }}-make-certs{{- end }}

{{/* Names of the cluster's own objects have the namespace in them: two releases of one name are two. */}}
{{- define "millrace.clusterName" -}}
{{ include "millrace.short" (dict "text" (printf "%s-%s-edge" .Release.Namespace (include "millrace.fullname" .)) "max" 63) }}
{{- end }}

{{/* What all pods of a release have. */}}
{{- define "millrace.release" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Never changes in a release's life: a workload's selector cannot. Give (list $ "edge"). */}}
{{- define "millrace.selector" -}}
{{ include "millrace.release" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object of one role. */}}
{{- define "millrace.labels" -}}
{{- $root := index . 0 -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: millrace
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- include "millrace.yourLabels" $root.Values.commonLabels }}
{{- end }}

{{/* Labels of the values; those that selectors, monitors and alerts go by stay the chart's. */}}
{{- define "millrace.yourLabels" -}}
{{- range $key, $value := . }}
{{- if not (or (hasPrefix "app.kubernetes.io/" $key) (eq $key "helm.sh/chart" "millrace.io/scrape")) }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "millrace.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.security.serviceAccount.create -}}
{{ include (printf "millrace.%s" (index . 1)) $root }}
{{- else -}}
{{ default "default" $root.Values.security.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "millrace.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end }}
{{- end }}
{{- end }}

{{- define "millrace.tlsSecret" -}}{{ default (printf "%s-tls" (include "millrace.fullname" .)) .Values.tls.secretName }}{{- end }}
{{- define "millrace.serverName" -}}{{ default (include "millrace.collector" .) .Values.tls.serverName }}{{- end }}
{{- define "millrace.consulService" -}}{{ default (include "millrace.collector" .) .Values.discovery.consul.service }}{{- end }}

{{/* The variable in which Kubernetes tells pods the address of a Service that was there before them. */}}
{{- define "millrace.serviceVariable" -}}
{{ include "millrace.collector" . | upper | replace "-" "_" }}_SERVICE_HOST
{{- end }}
