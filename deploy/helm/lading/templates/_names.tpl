{{- define "lading.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "lading.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lading.labels" -}}
{{ include "lading.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "lading.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "lading.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "lading.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- printf "%s%s%s" .Values.image.repository (ternary "@" ":" (hasPrefix "sha256:" $tag)) $tag -}}
{{- end -}}

{{/* "true" where nothing is kept in a pod, so that there may be several. */}}
{{- define "lading.isShared" -}}
{{- if and .Values.database.existingSecret .Values.storage.url -}}true{{- end -}}
{{- end -}}

{{- define "lading.replicas" -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- ternary 2 1 (eq (include "lading.isShared" .) "true") -}}
{{- else -}}
{{- .Values.replicas -}}
{{- end -}}
{{- end -}}

{{/* What the schema cannot say: settings that need each other. */}}
{{- define "lading.requireSense" -}}
{{- if and (not (include "lading.isShared" .)) (gt (int (include "lading.replicas" .)) 1) -}}
{{- fail "replicas: several need a database and a bucket that all of them reach. Set database.existingSecret and storage.url, or replicas to 1." -}}
{{- end -}}
{{- if include "lading.isShared" . -}}
{{- if not .Values.masterKey.existingSecret -}}
{{- fail "masterKey.existingSecret: with a shared database each replica must have the same master key, which must outlast the pods. Make one: kubectl create secret generic lading-master-key --from-literal=master-key=\"k1:$(head -c 32 /dev/urandom | base64)\"" -}}
{{- end -}}
{{- if not .Values.bootstrapKey.existingSecret -}}
{{- fail "bootstrapKey.existingSecret: the first owner's API key would be written into a pod and go with it. Make one: kubectl create secret generic lading-bootstrap-key --from-literal=bootstrap-key=\"$(head -c 36 /dev/urandom | base64 | tr '+/' '-_')\"" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.existingSecret) -}}
{{- fail "metrics.existingSecret: without a token /metrics answers nobody but the pod itself. Make a Secret with one, or disable metrics.serviceMonitor." -}}
{{- end -}}
{{- if and .Values.storage.redirect (not .Values.storage.url) -}}
{{- fail "storage.redirect needs storage.url: only a bucket has URLs to send clients to." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) (not .Values.publicUrl) -}}
{{- fail "ingress.hosts: say for which hosts the ingress is, or set publicUrl." -}}
{{- end -}}
{{- range $name := list "LADING_LISTEN" "LADING_DATA_DIR" "LADING_PUBLIC_URL" "LADING_TRUSTED_PROXIES" "LADING_DATABASE_URL" "LADING_STORAGE_URL" "LADING_STORAGE_REDIRECT" "LADING_MASTER_KEY" "LADING_MASTER_KEY_FILE" "LADING_BOOTSTRAP_KEY" "LADING_METRICS_TOKEN" "LADING_TLS_CERT" "LADING_TLS_KEY" "LADING_SHUTDOWN_DELAY" "LADING_SHUTDOWN_TIMEOUT" -}}
{{- if hasKey $.Values.settings $name -}}
{{- fail (printf "settings.%s: the chart has a value of its own for this setting; see values.yaml." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
