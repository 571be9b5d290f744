// The product's shadow on the floor, as black of some opacity.
in vec3 point;
uniform float strength;
uniform vec3 extent;  // half the product's size
#include light.glsl
out vec4 result;

void main() {
    float whole = 0.0, arrived = 0.0;
    int q = quarter();
    for (int i = 0; i < COUNT / 4; i++) {
        int k = 4 * i + q;
        float level = dot(light[k], vec3(0.33)) * pow(max(axes[3 * k + 2].y, 0.0), 3.0);
        whole += level;
        arrived += level * open(k, point + vec3(0.0, 0.004, 0.0));
    }
    float level = dot(sun, vec3(0.33)) * max(sun_axes[2].y, 0.0);
    whole += level;
    arrived += level * sun_open(point + vec3(0.0, 0.004, 0.0));
    float shade = 1.0 - arrived / max(whole, 1e-5);
    float fade = 1.0 - smoothstep(0.0, 0.5, length(max(abs(point.xz) - extent.xz * 0.9, 0.0)));
    result = vec4(0.0, 0.0, 0.0, max(shade - 0.03, 0.0) * strength * fade * fade);
}
