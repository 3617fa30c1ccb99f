package events

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
)

// A Pod is whom Events are about.
type Pod struct {
	Namespace string
	Name      string
	UID       string // may be empty; then `kubectl describe pod` does not show the Events
}

// TokenFile is where a pod's service account has its token.
const TokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Self is the pod that this process runs in, by POD_NAME, POD_NAMESPACE and
// POD_UID, and for what they do not say by the token of the service account, which
// is made out to the pod. Found is false outside a pod.
func Self(tokenFile string) (pod Pod, found bool) {
	pod = Pod{Namespace: os.Getenv("POD_NAMESPACE"), Name: os.Getenv("POD_NAME"), UID: os.Getenv("POD_UID")}
	token := podOfToken(tokenFile)
	if pod.Name == "" || pod.Name == token.Name {
		pod.Namespace = cmp.Or(pod.Namespace, token.Namespace)
		pod.Name = token.Name
		pod.UID = cmp.Or(pod.UID, token.UID)
	}
	return pod, pod.Name != "" && pod.Namespace != ""
}

// podOfToken is what a token says of its pod; empty without one.
func podOfToken(file string) Pod {
	content, err := os.ReadFile(file)
	parts := strings.Split(string(content), ".")
	if err != nil || len(parts) != 3 {
		return Pod{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Pod{}
	}
	var claims struct {
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Pod       struct {
				Name string `json:"name"`
				UID  string `json:"uid"`
			} `json:"pod"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return Pod{}
	}
	k := claims.Kubernetes
	return Pod{Namespace: k.Namespace, Name: k.Pod.Name, UID: k.Pod.UID}
}
