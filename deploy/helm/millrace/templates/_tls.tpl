{{/* Every name that somebody may reach a collector by, the one that edges ask for first. */}}
{{- define "millrace.certificateNames" -}}
{{- $names := list (include "millrace.serverName" .) -}}
{{- range list (include "millrace.collector" .) (include "millrace.headless" .) -}}
{{- $names = concat $names (list . (printf "%s.%s" . $.Release.Namespace) (printf "%s.%s.svc" . $.Release.Namespace) (printf "%s.%s.svc.cluster.local" . $.Release.Namespace)) -}}
{{- end -}}
{{- range uniq $names }}
- {{ . }}
{{- end }}
{{- end }}
