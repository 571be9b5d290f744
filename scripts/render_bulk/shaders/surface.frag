// A material under the light: matt, with a sheen that reflects the light's directions.
in vec3 place;
in vec3 upright;
in vec2 at;
uniform sampler2D picture;
uniform vec3 eye;
uniform vec4 colour;  // linear light, and opacity
uniform vec3 gloss;   // reflection straight on, reflection at grazing angles, highlight's exponent
uniform int mode;     // 0 plain, 1 textured, 2 textured and half transparent
#include light.glsl
out vec4 result;

void main() {
    vec4 base = colour;
    if (mode > 0) {
        vec4 texel = texture(picture, at);
        base = vec4(texel.rgb, colour.a);
        if (mode == 2) base.a *= texel.a;
#ifdef HOLES
        else if ((texel.a - 0.5) / max(fwidth(texel.a), 1e-4) + 0.5 < 0.5) discard;
#endif
    }
    vec3 view = normalize(eye - place);
    vec3 flat_ = cross(dFdx(place), dFdy(place));
    float size = length(flat_);
    vec3 n = normalize(upright);
    flat_ = size > 1e-12 ? flat_ / size : n;
    if (dot(flat_, view) < 0.0) flat_ = -flat_;
    if (dot(n, flat_) < 0.0) n = -n;
    vec3 mirrored = reflect(-view, n);
    vec3 matt = vec3(0.0), sheen = vec3(0.0);
    vec3 start = place + flat_ * 0.012 + n * 0.004;
    int q = quarter();
    for (int i = 0; i < COUNT / 4; i++) {
        int k = 4 * i + q;
        vec3 way = axes[3 * k + 2];
        vec3 arriving = light[k] * open(k, start + way * 0.006);
        matt += arriving * max(dot(n, way), 0.0);
        float m = max(dot(mirrored, way), 0.0);
        m *= m; m *= m; m *= m; m *= m;
        sheen += arriving * m;
    }
    sheen *= 8.5;
    if (sun.r + sun.g + sun.b > 0.0) {
        vec3 way = sun_axes[2];
        float towards = max(dot(n, way), 0.0);
        vec3 arriving = sun * towards * sun_open(start + way * 0.004);
        matt += arriving;
        float h = max(dot(n, normalize(way + view)), 0.0);
        sheen += arriving * pow(h, gloss.z) * (gloss.z + 8.0) * 0.125;
    }
    float grazing = pow(1.0 - max(dot(n, view), 0.0), 5.0);
    float shine = gloss.x + (gloss.y - gloss.x) * grazing;
    base.a = mix(base.a, 1.0, base.a < 1.0 && mode < 2 ? min(shine * 1.5, 0.6) : 0.0);
    result = vec4((base.rgb * matt * (1.0 - shine) + sheen * shine) * base.a, base.a);
}
